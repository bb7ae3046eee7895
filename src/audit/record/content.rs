//! The text of a record, on its way to the store.

use std::sync::Arc;

use serde::Serialize;

/// The text of a record as it came and as the audit policies left it, each as JSON: a list of `{role, parts}`, or of a
/// reported call or tool a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub(crate) original: Arc<str>,
    /// `None` when the audit policies withheld it.
    pub(crate) kept: Option<Arc<str>>,
}

impl Content {
    /// Text that the audit policies left as it was.
    pub fn unchanged(original: &impl Serialize) -> Option<Self> {
        let original = json(original)?;
        Some(Self { kept: Some(original.clone()), original })
    }

    /// Text that they edited.
    pub fn edited(original: &impl Serialize, kept: &impl Serialize) -> Option<Self> {
        Some(Self { original: json(original)?, kept: Some(json(kept)?) })
    }

    /// Text that they withheld, or did not see.
    pub fn withheld(original: &impl Serialize) -> Option<Self> {
        Some(Self { original: json(original)?, kept: None })
    }
}

/// The types that are recorded have a JSON form, all of them.
fn json(text: &impl Serialize) -> Option<Arc<str>> {
    serde_json::to_string(text).ok().map(Into::into)
}
