//! What the documentation names is there, and what is there is named.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use octroi::provider::ErrorKind;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// All Rust files of a folder as one text.
fn code(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.extension() {
            _ if path.is_dir() => code(&path),
            Some(extension) if extension == "rs" => fs::read_to_string(path).unwrap(),
            _ => String::new(),
        })
        .collect()
}

/// The names of metrics among pieces of a text.
fn metrics<'a>(pieces: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let is_part_of_a_name = |it: char| it.is_ascii_lowercase() || it == '_';
    pieces
        .filter(|it| ["octroi_", "axonflow_"].iter().any(|prefix| it.starts_with(prefix)))
        .filter(|it| it.chars().all(is_part_of_a_name))
        .collect()
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let code = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let counted = metrics(code.split('"'));
    let operations = read("docs/operations.md");
    let rows = operations.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name));
    assert_eq!(metrics(rows), counted);
    let alerts = read("docs/alerts.yaml");
    let watched = metrics(alerts.split(|it: char| !it.is_ascii_alphanumeric() && it != '_'));
    assert!(watched.len() > 5 && watched.is_subset(&counted), "{watched:?}");
}

#[test]
fn alerts_on_calls_watch_codes_that_calls_end_with() {
    let alerts = read("docs/alerts.yaml");
    let of_calls = alerts.split("axonflow_orchestrator_llm_calls_total{status=~\"").skip(1);
    let watched: BTreeSet<&str> =
        of_calls.filter_map(|rest| rest.split('"').next()).flat_map(|it| it.split('|')).collect();
    let is_code = |pattern: &str| {
        let begins = pattern.strip_suffix(".*");
        let fits = |code: &str| begins.map_or(code == pattern, |begins| code.starts_with(begins));
        ErrorKind::ALL.iter().any(|kind| fits(kind.code()))
    };
    assert!(watched.len() > 5, "{watched:?}");
    let unknown: Vec<_> = watched.into_iter().filter(|pattern| !is_code(pattern)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
