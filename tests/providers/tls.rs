//! Upstreams that speak TLS: whose certificates are believed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mistral_double::MistralDouble;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::streamed;
use super::support::{Gateway, Setup};

/// A certificate authority that no system knows.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate, as an operator has it.
    fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// TLS in front of the double, with a certificate for `host`. Gives the port.
    async fn in_front_of(&self, double: &MistralDouble, host: &str) -> u16 {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = listener.local_addr().unwrap().port();
        let upstream = double.origin().trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
                tokio::spawn(async move {
                    // Who does not believe the certificate hangs up.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut server = TcpStream::connect(upstream).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        port
    }
}

/// A gateway whose Mistral stands at this port. It believes `authority` alone, if there is one, else the system's.
fn gateway(double: &MistralDouble, port: u16, authority: Option<&Path>) -> Gateway {
    let provider = format!(
        "llm_providers:\n  mistral:\n    credentials: {{ api_key: \"{}\" }}\n    config: {{ endpoint: \
         \"https://localhost:{port}\" }}\nrouting: {{ retry: {{ attempts: 1 }} }}\n",
        double.key()
    );
    let setup = Setup::without_provider().yaml(&provider);
    match authority {
        Some(path) => setup.env("SSL_CERT_FILE", &path.display().to_string()).start(),
        None => setup.start(),
    }
}

async fn double() -> MistralDouble {
    MistralDouble::builder().start().await.unwrap()
}

#[tokio::test]
async fn a_private_authority_is_believed_when_it_is_named() {
    let (double, authority, folder) = (double().await, Authority::new(), tempfile::tempdir().unwrap());
    let port = authority.in_front_of(&double, "localhost").await;
    let gateway = gateway(&double, port, Some(&authority.write(folder.path())));
    let answer = gateway.ask("Hello").await;
    assert_eq!(answer.body["success"], true, "{answer:?}");
    let (chunks, done) = streamed(&gateway, json!({ "messages": [{ "role": "user", "content": "Hello" }] })).await;
    assert!(done && chunks.len() > 1, "{chunks:?}");
}

/// Asks, and sees that the reason is told to the operator and that the double was sent nothing, not even the key.
async fn is_not_believed(gateway: &Gateway, double: &MistralDouble, why: &str) {
    let answer = gateway.ask("Hello").await;
    assert_eq!(answer.body["success"], false, "{answer:?}");
    assert_eq!(answer.body["metadata"]["error_code"], "connect_failed", "{answer:?}");
    assert!(gateway.log.count(why).await > 0);
    assert_eq!(double.requests().len(), 0);
}

#[tokio::test]
async fn an_authority_that_the_system_does_not_know_is_not_believed() {
    let (double, authority) = (double().await, Authority::new());
    let port = authority.in_front_of(&double, "localhost").await;
    is_not_believed(&gateway(&double, port, None), &double, "UnknownIssuer").await;
}

#[tokio::test]
async fn a_certificate_of_another_host_is_not_believed() {
    let (double, authority, folder) = (double().await, Authority::new(), tempfile::tempdir().unwrap());
    let port = authority.in_front_of(&double, "api.mistral.ai").await;
    let gateway = gateway(&double, port, Some(&authority.write(folder.path())));
    is_not_believed(&gateway, &double, "not valid for name").await;
}
