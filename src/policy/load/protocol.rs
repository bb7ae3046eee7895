//! What the gateway and the loader process say to each other, over the loader's standard input and output.
//!
//! In: one line of JSON, the [`Job`], then `module_bytes` bytes of the module. Out: lines of JSON, each an [`Event`];
//! after [`Event::Done`] come `artifact_bytes` bytes of compiled code and the process ends.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use super::{LoadError, Step};
use crate::policy::digest::Digest;
use crate::policy::limits::Budget;
use crate::policy::manifest::{Case, Phase, Phases};

/// The longest line that either side reads, in bytes: the largest manifest's settings and cases, written as JSON, where
/// a character may take six times what it takes in YAML.
pub const MAX_LINE_BYTES: u64 = 64 << 20;
/// The largest artifact that the gateway reads, in bytes.
pub const MAX_ARTIFACT_BYTES: u64 = 512 << 20;

/// What to load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The manifest's settings.
    pub settings: serde_json::Value,
    /// The manifest's cases.
    pub cases: Vec<Case>,
    /// Host interfaces granted beside `log`.
    pub capabilities: Vec<String>,
    /// The phases in which it is to be asked; `None`: all that it exports.
    pub phases: Option<Phases>,
    /// Whether every case is told of, even if warm-up ends at one of them.
    pub every_case: bool,
    /// What one evaluation may use.
    pub budget: Budget,
    /// Where the instrumented component's code is kept between loads of other settings.
    pub cache: Option<PathBuf>,
    /// The module's length.
    pub module_bytes: u64,
}

/// One line of the loader's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A step begins.
    Step(Step),
    /// The policy logged this while it was configured.
    Log(String),
    /// A case was checked.
    Case(CaseReport),
    /// It does not go live.
    Failed(LoadError),
    /// It is ready.
    Done {
        /// What is known about it.
        about: About,
        /// The compiled code's length.
        artifact_bytes: u64,
    },
}

/// How a case of the manifest came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Microseconds of the quicker of its two evaluations, sandbox included.
    pub elapsed_us: u64,
    /// Why it failed; `None` when it passed.
    pub problem: Option<String>,
}

/// What is known about a version once it is frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The policy's own name.
    pub name: String,
    /// The policy's own version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// Its rules.
    pub rules: Vec<RuleAbout>,
    /// The interfaces that it exports.
    pub phases: Vec<Phase>,
    /// Digest of the component as it was before the settings.
    pub component: Digest,
    /// Memories and tables after warm-up, in bytes.
    pub memory_bytes: usize,
    /// Cases that it passed.
    pub cases: usize,
    /// Milliseconds spent compiling, both times.
    pub compile_ms: u64,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleAbout {
    /// Its id.
    pub id: String,
    /// What kind of thing it looks for.
    pub category: String,
    /// One line.
    pub summary: String,
}
