//! Rules that are made while the gateway runs: what a file of them holds, how it changes, and how it is kept.
//!
//! All of them stand in one manifest of the `pattern` policy, [`FILE`] in the policies directory: one version and one
//! evaluation however many rules. The file is the truth. An operator may edit it by hand; what this module does not know
//! in it stays as it is. What is known about a rule beside what the policy needs (its id, who made it, when) stands in
//! the rule's `annotations`, at which the policy does not look.
//!
//! This module reads, changes and writes; it never loads a policy. [`super`] does, before and after.

mod disk;
mod fields;
mod file;
mod history;
mod rule;

use serde_json::{Map, Value};

pub use disk::{DiskError, Folder};
pub use fields::{FieldError, Fields};
pub use file::{FileError, RuleFile};
pub use history::{Change, Version};
pub use rule::{Rule, Tier};

/// The manifest, relative to the policies directory.
pub const FILE: &str = "api/static.yaml";

/// The name of the policy that it makes.
pub const POLICY: &str = "static-policies";

/// The policy's module, relative to the policies directory.
pub const MODULE: &str = "pattern.wasm";

/// The most rules of one tenant.
pub const MAX_RULES_OF_TENANT: usize = 100;

/// The most rules of all tenants together. The rest is for those of the organization.
pub const MAX_RULES_OF_TENANTS: usize = 800;

/// The most rules.
pub const MAX_RULES: usize = 1_000;

/// An entry of the manifest's `settings.patterns`.
type Entry = Map<String, Value>;
