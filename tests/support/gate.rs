//! A gate between a gateway and a model: what the model answers waits until it opens.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Open at first. Dropping it opens it.
pub struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Gate {
    pub async fn before(model: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, opened) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let opened = opened.clone();
                tokio::spawn(async move {
                    let Ok(model) = TcpStream::connect(model).await else { return };
                    let ((mut asks, mut hears), (mut answers, mut listens)) = (client.into_split(), model.into_split());
                    tokio::spawn(async move { tokio::io::copy(&mut asks, &mut listens).await });
                    let mut opened = opened;
                    let mut bytes = vec![0; 64 << 10];
                    while let Ok(read @ 1..) = answers.read(&mut bytes).await {
                        let _ = opened.wait_for(|open| *open).await;
                        if hears.write_all(&bytes[..read]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, open }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }
}
