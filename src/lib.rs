//! Octroi: a gateway between applications and large language models whose every rule is a sandboxed WebAssembly policy.
//!
//! ```text
//!                  +--------- one PolicySet generation, held by the request for its whole life ---------+
//!                  |                                                                                    |
//! client --> http surface --> identity --> pre-check policies --> router --> provider --> upstream      |
//!             (axonflow,                     | deny / redact /       |                        |         |
//!              openai, admin)                | constrain routing     |                        v         |
//!                  ^                         v                       |             response policies    |
//!                  |        audit policies --> audit: intent is durable                       |         |
//!                  |                         |                                                |         |
//!                  +-------------------------+------------- answer <--------------------------+         |
//!                                            audit policies --> audit: outcome is durable               |
//!                  +------------------------------------------------------------------------------------+
//! ```
//!
//! Imports point one way: [`http`] to [`gateway`] to [`policy`], [`router`] and [`audit`]; [`router`] to [`provider`].
//! All may use [`chat`], [`config`], [`in_flight`], `line`, [`telemetry`] and `text`; nothing imports [`http`] or [`cli`].

pub mod audit;
pub mod chat;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod http;
pub mod in_flight;
mod line;
pub mod policy;
pub mod provider;
pub mod router;
pub mod telemetry;
mod text;
