//! The corpora of `fuzz/`, as ordinary tests: what the fuzzer once found stays mended.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

#[path = "../fuzz/src/lib.rs"]
#[expect(clippy::expect_used, unreachable_pub, reason = "the targets' code, which fails by panics")]
mod targets;

use std::fs;
use std::path::Path;

/// Runs a target on its corpus, which must hold inputs that are accepted and inputs that are not.
fn run(name: &str, target: fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let (mut accepted, mut refused) = (0, 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let data = fs::read(entry.unwrap().path()).unwrap();
        *if target(&data) { &mut accepted } else { &mut refused } += 1;
    }
    assert!(accepted > 0 && refused > 0, "{name}: {accepted} accepted, {refused} refused");
}

#[test]
fn no_manifest_of_the_corpus_breaks_a_promise() {
    run("manifest", targets::manifest);
}

#[test]
fn no_module_of_the_corpus_breaks_a_promise() {
    run("module", targets::module);
}

#[test]
fn no_verdict_of_the_corpus_breaks_a_promise() {
    run("verdict", targets::verdict);
}
