//! Write a policy for the Octroi gateway in Rust.
//!
//! A policy is a sandboxed WebAssembly module that the gateway asks about every request ([`PreCheck`]), every answer
//! ([`Response`]) or every record that it is about to store ([`Audit`]). It is built with a plain
//! `cargo build --release --target wasm32-unknown-unknown` and copied into the gateway's policies folder beside a
//! manifest; no further tool is needed.
//!
//! ```toml
//! # Cargo.toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]     # the module, and what `cargo test` links
//! ```
//!
//! ```
//! use octroi_policy::prelude::*;
//!
//! struct NoProjectX;
//!
//! impl Policy for NoProjectX {
//!     type Settings = NoSettings;
//!
//!     fn configure(_: NoSettings) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn describe(&self) -> Description {
//!         Description::new("no-project-x", "1.0.0", "Keeps project X inside the house")
//!             .rule("project-x", "confidential", "The project's name")
//!     }
//! }
//!
//! impl PreCheck for NoProjectX {
//!     fn pre_check(&self, _: &Context, messages: &[Message]) -> Verdict {
//!         for text in texts(messages) {
//!             if let Some(found) = text.keyword("project x").next() {
//!                 let finding = Finding::new("project-x", "confidential", Severity::High).at(text.place(found));
//!                 return Verdict::deny("The request names a confidential project").finding(finding);
//!             }
//!         }
//!         Verdict::allow()
//!     }
//! }
//!
//! octroi_policy::export!(NoProjectX: PreCheck);
//!
//! // In a test, on the host:
//! let policy = configure::<NoProjectX>("{}").unwrap();
//! let verdict = policy.pre_check(&Context::example(), &[Message::user("When does Project X start?")]);
//! assert_eq!(verdict.action, Action::Deny);
//! ```
//!
//! # What to know
//!
//! - **Configured once.** [`Policy::configure`] runs at load, and the memory that it leaves is the start of every
//!   evaluation. Compile expressions and build tables there.
//! - **A fresh sandbox each time.** What an evaluation stores is gone after it. Reading what `configure` built is free;
//!   the first write to each 4 KiB of memory costs about half a microsecond, so prefer matchers without caches.
//! - **No world outside.** No files, network, environment or random numbers. A policy's answer is a function of its
//!   settings and of what it is shown. [`clock`] and [`counters`] are there for policies whose manifest grants them; what
//!   they answered is recorded.
//! - **Byte offsets.** Places count bytes of UTF-8, as `str` does. [`byte_range`] converts from other counts.
//! - **Strongest wins.** Actions are ordered: `allow < log < warn < redact < require-approval < deny`.
//! - **Text stays inside.** Neither a reason nor a log line should repeat what was matched.
//! - **A panic is an error.** The gateway follows the manifest's `on_error` (by default it refuses) and the log names
//!   the line of code.

#[doc(hidden)]
pub mod bindings;
pub mod byte_range;
pub mod clock;
pub mod counters;
mod export;
mod json;
pub mod log;
mod masker;
mod matches;
mod messages;
mod plain;
mod policy;
mod settings;
mod text;
mod verdict;

#[doc(hidden)]
pub use export::runtime;
pub use masker::Masker;
pub use matches::{Match, find_both, join_overlapping};
pub use plain::Plain;
pub use policy::{Audit, Policy, PreCheck, Response};
pub use settings::{NoSettings, configure};
pub use text::{Text, names, texts};

pub use bindings::audit::exports::octroi::policy::audit::{Entry, Phase};
pub use bindings::lifecycle::exports::octroi::policy::lifecycle::{Description, Rule};
pub use bindings::response::exports::octroi::policy::response::Answer;
pub use bindings::shared::octroi::policy::types::{
    Action, Caller, Context, Edit, Finding, Message, Part, PartKind, Place, Role, Routing, Severity, Verdict, Window,
};

/// Everything a policy usually needs, in one line.
pub mod prelude {
    pub use crate::{
        Action, Answer, Audit, Context, Description, Edit, Entry, Finding, Match, Message, NoSettings, Part, PartKind,
        Phase, Place, Policy, PreCheck, Response, Role, Severity, Text, Verdict, Window, byte_range, clock, configure,
        counters, find_both, join_overlapping, log, names, texts,
    };
}
