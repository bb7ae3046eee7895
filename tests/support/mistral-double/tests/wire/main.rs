//! The double as its clients see it: over sockets, with a plain HTTP client.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing there")]

mod answers;
mod client;
mod failures;
mod inspection;
#[path = "../../../ports.rs"]
mod ports;
mod refusals;
mod streams;
