//! What is fuzzed: one function a target, each of which panics when a promise is broken and says whether the input was
//! accepted. `fuzz_targets/` calls them under libFuzzer; `tests/fuzz_corpus.rs` calls them on the corpora, as ordinary
//! tests.

mod verdict;

use octroi::policy::load::module as loaded;
use octroi::policy::manifest::{Case, CaseContext, Manifest};

pub use verdict::verdict;

/// A manifest is accepted or refused with a message, never a panic; what is accepted survives the way to the loader.
pub fn manifest(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let manifest = match Manifest::parse(text, "fuzz.yaml") {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let again = Manifest::parse(text, "fuzz.yaml").expect("the same text is accepted twice");
    assert_eq!(manifest.settings_hash(), again.settings_hash());
    let cases = serde_json::to_string(&manifest.tests).expect("cases are JSON for the loader");
    assert_eq!(serde_json::from_str::<Vec<Case>>(&cases).expect("which reads them"), manifest.tests);
    for case in &manifest.tests {
        let messages = case.conversation();
        assert!(case.query.is_none() || messages.len() == 1);
        manifest.scope.covers(&case.context.context());
    }
    manifest.scope.covers(&CaseContext::default().context());
    manifest.rollout.enforced(&manifest.name, "request");
    assert!(manifest.settings.is_object());
    true
}

/// A module is made a component and found right or wrong, up to the point where it would be compiled.
pub fn module(data: &[u8]) -> bool {
    let component = match loaded::encode(data.to_vec()) {
        Ok(component) => component,
        Err(error) => {
            assert!(!error.message.is_empty());
            return false;
        }
    };
    assert_eq!(loaded::encode(component.clone()).as_ref(), Ok(&component), "a component stays as it is");
    if let Err(error) = loaded::validate(&component, &[]) {
        assert!(!error.message.is_empty());
        return false;
    }
    let survey = loaded::survey(&component).expect("what is valid can be surveyed");
    assert!(survey.exports.iter().any(|it| it == octroi::policy::component::LIFECYCLE));
    assert!(survey.imports.iter().all(|it| it.starts_with("octroi:policy/")));
    true
}
