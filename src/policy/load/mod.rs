//! From bytes in a folder to something that can judge a request.
//!
//! The expensive and dangerous half (encode, validate, configure, warm up, freeze, compile, test) runs in a process of
//! its own, the *loader* ([`pipeline`], `octroi policy load`), which limits itself and can be killed: a compile bomb
//! costs a refused policy and not the gateway. The gateway's half ([`worker`]) starts it, reads what it says, and maps
//! the finished code from the [`cache`].

pub mod cache;
mod expected;
pub mod module;
pub mod pipeline;
pub mod protocol;
mod snapshot;
pub mod worker;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// The largest module that is read, in bytes. Python's are 18 MB.
pub const MAX_MODULE_BYTES: u64 = 64 << 20;

/// A module as it was read. The digest is made once, where the bytes are: tens of megabytes take tens of milliseconds.
#[derive(Clone, Debug)]
pub struct Module {
    /// The bytes.
    pub bytes: Arc<Vec<u8>>,
    /// Their digest.
    pub digest: Digest,
}

impl Module {
    /// A module of these bytes.
    pub fn new(bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), bytes }
    }
}

/// The steps of loading, in order. Each fails with its own errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The manifest is read and parsed.
    Manifest,
    /// The module is read.
    Read,
    /// The module's digest is compared with the pin.
    Digest,
    /// The loader process is started.
    Start,
    /// A core module becomes a component.
    Encode,
    /// Form, imports and exports are checked.
    Validate,
    /// The component is compiled with access to its state, to be frozen.
    Instrument,
    /// The component is instantiated.
    Instantiate,
    /// It gets its settings.
    Configure,
    /// It sees every case once.
    WarmUp,
    /// Its memory is frozen into a new component.
    Snapshot,
    /// The frozen component is compiled.
    Compile,
    /// The manifest's cases are checked against the frozen component.
    Tests,
    /// The compiled code is mapped into the gateway.
    Link,
}

impl Step {
    /// As it stands in logs, metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Manifest => "manifest",
            Self::Digest => "digest",
            Self::Start => "start",
            Self::Encode => "encode",
            Self::Validate => "validate",
            Self::Instrument => "instrument",
            Self::Instantiate => "instantiate",
            Self::Configure => "configure",
            Self::WarmUp => "warm-up",
            Self::Snapshot => "snapshot",
            Self::Compile => "compile",
            Self::Tests => "tests",
            Self::Link => "link",
        }
    }
}

/// Why a version does not go live.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}: {message}", step.as_str())]
pub struct LoadError {
    /// Where it failed.
    pub step: Step,
    /// Stable, for metrics and answers.
    pub code: LoadCode,
    /// For the log: may name paths and hold the guest's text.
    pub message: String,
}

/// The longest message that is kept, in bytes: it may list what a component has by the thousands.
const MAX_MESSAGE: usize = 64 << 10;

impl LoadError {
    /// An error of this step. What is beyond 64 KiB of the message is cut.
    pub fn new(step: Step, code: LoadCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        Self { step, code, message }
    }
}

/// Kinds of [`LoadError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadCode {
    /// A file is missing, is no regular file, may not be read or lies outside the policies directory.
    Unreadable,
    /// The device or the network file system failed while a file was read.
    ReadFailed,
    /// A file is larger than allowed.
    TooLarge,
    /// More manifests than are read, or more policies than are loaded.
    TooMany,
    /// The manifest is wrong.
    BadManifest,
    /// Another manifest has this name.
    DuplicateName,
    /// The module is not the pinned one.
    DigestMismatch,
    /// The bytes are neither a component nor a core module.
    NotWasm,
    /// The core module cannot be made a component.
    NotEncodable,
    /// It breaks a rule of WebAssembly or uses a proposal that is off.
    Invalid,
    /// It imports what it was not granted.
    ImportRefused,
    /// It lacks an export, or has it with another signature.
    BadExports,
    /// It trapped or ran into a limit.
    GuestFailed,
    /// The policy refused its settings.
    SettingsRefused,
    /// Its state cannot be frozen.
    NotFreezable,
    /// It cannot be compiled.
    NotCompilable,
    /// A case got another verdict than it expects.
    CaseFailed,
    /// The same case got two verdicts.
    NotDeterministic,
    /// Compiling it takes more time or memory than the manifest allows.
    CompileLimit,
    /// The loader process could not be started or ended without an answer.
    LoaderFailed,
    /// The loader process took too long.
    LoaderTimeout,
}

impl LoadCode {
    /// Whether the same files may go another way the next time: the loader lacked time or memory, or a device failed.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::ReadFailed | Self::LoaderFailed | Self::LoaderTimeout)
    }

    /// As it stands in logs, metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::ReadFailed => "read_failed",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::BadManifest => "bad_manifest",
            Self::DuplicateName => "duplicate_name",
            Self::DigestMismatch => "digest_mismatch",
            Self::NotWasm => "not_wasm",
            Self::NotEncodable => "not_encodable",
            Self::Invalid => "invalid",
            Self::ImportRefused => "import_refused",
            Self::BadExports => "bad_exports",
            Self::GuestFailed => "guest_failed",
            Self::SettingsRefused => "settings_refused",
            Self::NotFreezable => "not_freezable",
            Self::NotCompilable => "not_compilable",
            Self::CaseFailed => "case_failed",
            Self::NotDeterministic => "not_deterministic",
            Self::CompileLimit => "compile_limit",
            Self::LoaderFailed => "loader_failed",
            Self::LoaderTimeout => "loader_timeout",
        }
    }
}
