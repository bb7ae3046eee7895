//! What the offline doubles of the vendors have in common: a server on a loopback port, the record of what it saw, and
//! answers that can break. What a vendor takes, refuses and says is its [`Vendor`], in a crate of its own.
//!
//! | module | holds |
//! |---|---|
//! | `server` | running, and the test's side of it |
//! | `service` | the way of one request |
//! | `script` | what a test queued, for vendors with a plain queue |
//! | `answer` | answers and refusals, and how they leave |
//! | `body`, `socket` | bytes, writes and broken connections |
//! | `record` | what was seen |
//! | `json` | what is read in the JSON of several vendors |

mod answer;
mod body;
mod json;
mod record;
mod script;
mod server;
mod service;
mod socket;

pub use answer::{Answer, Ending, Refusal};
pub use body::Step;
pub use json::{array, echo, is_function_name, outside, text, tokens, unknown_field};
pub use record::{ReceivedRequest, Recording, Stats};
pub use script::{Script, Scripted};
pub use server::{Double, NotReached};
pub use service::Vendor;
