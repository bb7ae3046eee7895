//! Attacks, read from the files beside this one. `README.md` says how they are written.

#![allow(clippy::unwrap_used, clippy::panic, clippy::allow_attributes, reason = "tests fail by panics")]
#![allow(unreachable_pub, dead_code, reason = "a module of tests and a bench, each of which uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding};

const LOG: &str = r#"(import "octroi:policy/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
const MEMORY: &str = r#"(memory (export "memory") 2)"#;
const REALLOC: &str = r#"
(global $next (mut i32) (i32.const 65536))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
  (global.set $next (i32.add (local.get $at) (local.get 3)))
  (local.get $at))"#;
const CONFIGURE: &str =
    r#"(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32) (i32.const 1024))"#;
const DESCRIBE: &str = r#"(func (export "octroi:policy/lifecycle@0.1.0#describe") (result i32) (i32.const 1024))"#;
const EVALUATE: &str =
    r#"(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))"#;

/// What must come of an attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is refused at load: step and code.
    Refused(String, String),
    /// Its evaluations are errors of this code.
    Error(String),
    /// It gives a verdict.
    Passes,
}

/// One file.
#[derive(Clone, Debug)]
pub struct Attack {
    /// The file's name, as a policy's.
    pub name: String,
    /// From its first line.
    pub expected: Outcome,
    /// Lines for its manifest.
    pub manifest: String,
    /// Whether only `make soak` runs it.
    pub soak: bool,
    /// What it assembles to.
    pub module: Vec<u8>,
}

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

/// All of them, in order of name; those that take long only in a soak.
pub fn all() -> Vec<Attack> {
    let soak = std::env::var_os("OCTROI_SOAK").is_some();
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "wat"))
        .map(|path| read(path))
        .filter(|attack| soak || !attack.soak)
        .collect()
}

/// The one of this name.
pub fn named(name: &str) -> Attack {
    read(&folder().join(name).with_extension("wat"))
}

fn read(path: &Path) -> Attack {
    let text = fs::read_to_string(path).unwrap();
    let wrong = |problem: &str| -> ! { panic!("{}: {problem}", path.display()) };
    let mut directives = text.lines().map_while(|line| line.strip_prefix(";; ")).map(str::trim);
    let first = directives.next().unwrap_or_default();
    let expected = match first.split(' ').collect::<Vec<_>>().as_slice() {
        ["load", step, code] => Outcome::Refused((*step).into(), (*code).into()),
        ["evaluate", code] => Outcome::Error((*code).into()),
        ["passes"] => Outcome::Passes,
        _ => wrong(&format!("`{first}` is no expectation")),
    };
    let form = directives.next().unwrap_or_default();
    let (mut manifest, mut wit, mut soak) = (String::new(), wit(), false);
    for directive in directives {
        if directive == "soak" {
            soak = true;
        } else if let Some(line) = directive.strip_prefix("manifest ") {
            manifest.push_str(line);
            manifest.push('\n');
        } else if let Some((old, new)) = directive.strip_prefix("wit ").and_then(|it| it.split_once(" =>")) {
            assert!(wit.contains(old), "{}: `{old}` is not in wit/", path.display());
            wit = wit.replace(old, new.trim_start());
        }
    }
    let text = repeated(&text);
    let assemble = |text: &str| wat::parse_str(text).unwrap_or_else(|error| wrong(&error.to_string()));
    let module = match form.split(' ').collect::<Vec<_>>().as_slice() {
        ["prelude", without @ ..] => {
            let parts = [("log", LOG), ("memory", MEMORY), ("realloc", REALLOC)];
            let parts = parts.into_iter().chain([("configure", CONFIGURE), ("describe", DESCRIBE)]);
            let prelude: String = parts.filter(|(name, _)| !without.contains(name)).map(|(_, text)| text).collect();
            // Imports must come first.
            let (imports, rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("(import "));
            let module = format!("(module {}\n{prelude}\n{}\n)", imports.join("\n"), rest.join("\n"));
            described(assemble(&module), &wit)
        }
        ["behind", "a", "component"] => {
            let policy =
                described(assemble(&format!("(module {LOG}{MEMORY}{REALLOC}{CONFIGURE}{DESCRIBE}{EVALUATE})")), &wit);
            let mut component = ComponentEncoder::default().module(&policy).unwrap().encode().unwrap();
            // A component is a row of sections; those of another one fit behind them.
            component.extend_from_slice(&assemble(&format!("(component {text})"))[8..]);
            component
        }
        ["whole"] => assemble(&text),
        _ => wrong(&format!("`{form}` is neither `prelude`, `behind a component` nor `whole`")),
    };
    Attack { name: path.file_stem().unwrap().to_string_lossy().replace('_', "-"), expected, manifest, soak, module }
}

/// Lines between `;; repeat N` and `;; end`, N times; `{i}` is the number of the turn, `{i+3}` that of the third after.
fn repeated(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(times) = line.strip_prefix(";; repeat ") else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let body: String = lines.by_ref().take_while(|line| *line != ";; end").flat_map(|line| [line, "\n"]).collect();
        for turn in 0..times.trim().replace('_', "").parse::<usize>().unwrap() {
            let mut pieces = body.split("{i");
            out.push_str(pieces.next().unwrap());
            for piece in pieces {
                let (offset, rest) = piece.split_once('}').unwrap();
                let offset = offset.strip_prefix('+').map_or(0, |it| it.parse::<usize>().unwrap());
                out.push_str(&(turn + offset).to_string());
                out.push_str(rest);
            }
        }
    }
    out
}

/// The package as one text.
fn wit() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut package = String::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let (header, rest) = text.split_once(";\n").unwrap();
        if package.is_empty() {
            package = format!("{header};\n");
        }
        package.push_str(rest);
    }
    package
}

/// Adds what `wit-bindgen` leaves in a core module, so that the loader can make a component of it.
fn described(mut module: Vec<u8>, wit: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_source("attack.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("pre-check-policy")).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}
