//! The double on a port, for a look by hand or as the upstream of a load test:
//! `cargo run -p mistral-double --release --example serve -- [PORT] [MILLISECONDS BEFORE THE FIRST BYTE]`.

#![expect(clippy::print_stdout, reason = "this program's output is for a person")]

use std::error::Error;
use std::time::Duration;

use mistral_double::{MistralDouble, Recording};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let latency = arguments.next().map_or(Ok(0), |time| time.parse())?;
    let double = MistralDouble::builder()
        .port(port)
        .before_first_byte(Duration::from_millis(latency))
        .recording(Recording::Off)
        .start()
        .await?;
    println!("offline double of Mistral at {} with key {}", double.origin(), double.key());
    tokio::signal::ctrl_c().await?;
    double.shutdown().await;
    Ok(())
}
