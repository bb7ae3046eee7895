//! An offline double of the Mistral API.
//!
//! It refuses what Mistral refuses (unknown fields at every level, values out of range, conversations out of order, tool
//! ids that are not nine letters and digits, unknown models, wrong keys) and can be told to fail in every way that was
//! seen of the real one. What it accepts it answers with an echo, real-looking down to the padding of its streams.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use mistral_double::{Behaviour, Failure, MistralDouble, RateLimit, Rule, StreamFault};
//!
//! let double = MistralDouble::builder().start().await?;
//! // Aim the gateway at double.origin() with double.key(), then:
//! double.script(Failure::from(RateLimit::requests().retry_after("1"))); // the next request fails,
//! double.script(Behaviour::text("Bonjour.")); // the one after it is answered with this,
//! double.script(Rule::times(3, Behaviour::break_stream(4, StreamFault::Cut))); // and three streams break.
//!
//! double.wait_until(|stats| stats.received == 5).await?;
//! let sent = double.last_request().map(|request| request.json());
//! double.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `builder`, `settings`, `server` | setting up, and the test's side of it |
//! | `service`, `route` | the way of one request |
//! | `schema`, `validate`, `refusal` | what is refused, and how |
//! | `answer`, `embeddings`, `moderation`, `models`, `tokens` | what is answered |
//! | `behaviour`, `failure`, `rate_limit`, `script` | what a test can ask for |

mod answer;
mod behaviour;
mod builder;
mod conversation;
mod embeddings;
mod failure;
mod models;
mod moderation;
mod rate_limit;
mod refusal;
mod route;
mod schema;
mod script;
mod server;
mod service;
mod settings;
mod tokens;
mod validate;

pub use double::{NotReached, ReceivedRequest, Recording, Stats};

pub use behaviour::{
    Behaviour, EmptyContent, EventForm, StreamFault, ThinkingEnd, ToolCall, ToolCallForm, UsageForm, Writes,
};
pub use builder::{DEFAULT_CODESTRAL_KEY, DEFAULT_KEY, MistralDoubleBuilder};
pub use failure::{Failure, LARGEST_BODY};
pub use models::{Ability, Deprecation, Effort, Model, default_models};
pub use rate_limit::{RateLimit, RateLimitHeaders};
pub use refusal::ValidationShape;
pub use route::{Endpoint, Host};
pub use script::Rule;
pub use server::MistralDouble;
pub use service::Mistral;
pub use settings::Quirk;
