//! The commands of a policy's author, as an author meets them.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use octroi::policy::manifest::Manifest;
use support::author::{Said, octroi, run, unhurried};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The shipped policies' files.
fn shipped(file: &str) -> String {
    support::repository_policies().join(file).to_str().unwrap().to_owned()
}

/// Makes, builds and tests a policy as the README says, and leaves its folder.
fn first_policy(folder: &TempDir, language: &str, commands: &[&str]) -> PathBuf {
    let said = run(folder.path(), &["policy", "new", "no-words", "--lang", language]).fine();
    assert!(said.contains("cd no-words"), "{said}");
    let policy = folder.path().join("no-words");
    let manifest = policy.join("no-words.yaml");
    fs::write(&manifest, unhurried(&fs::read_to_string(&manifest).unwrap())).unwrap();
    let said = run(&policy, &["policy", "build"]).fine();
    for command in commands {
        assert!(said.contains(&format!("$ {command}")), "{command}: {said}");
    }
    assert!(said.contains("octroi policy test no-words.yaml"), "{said}");
    let said = run(&policy, &["policy", "test", "no-words.yaml"]).fine();
    assert!(said.contains("no-words: 2 cases passed") && said.contains("microseconds"), "{said}");
    policy
}

/// What an author sees of an exception: its name and its places, and nothing of the text that was looked at.
fn an_exception_says_where(policy: &Path, source: &str, line: &str, raises: &str, expected: &[&str]) {
    let file = policy.join(source);
    let code = fs::read_to_string(&file).unwrap();
    fs::write(&file, code.replacen(line, &format!("{raises}{line}"), 1)).unwrap();
    run(policy, &["policy", "build"]).fine();
    let said = run(policy, &["policy", "test", "no-words.yaml"]).failed(1);
    for expected in expected {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("Gr\u{fc}\u{df}e"), "{said}");
}

#[test]
fn who_tests_a_policy_that_is_not_built_is_told_what_builds_it() {
    let folder = folder();
    run(folder.path(), &["policy", "new", "no-words"]).fine();
    let said = run(&folder.path().join("no-words"), &["policy", "test", "no-words.yaml"]).failed(1);
    assert!(said.contains("No such file or directory (os error 2); `octroi policy build` makes it"), "{said}");
}

#[test]
fn a_new_policy_in_javascript_builds_and_passes_its_cases() {
    let folder = folder();
    let policy = first_policy(&folder, "javascript", &["npm ci", "npm run build -- --out no-words.wasm"]);
    assert!(policy.join("node_modules").is_dir());
    let expected = ["ERROR: SyntaxError < evaluate@src/policy.js:"];
    an_exception_says_where(&policy, "src/policy.js", "const match = ", "JSON.parse(text); ", &expected);
}

#[test]
fn a_new_policy_in_python_builds_and_passes_its_cases() {
    let folder = folder();
    let installs = ".venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt";
    let builds = "VIRTUAL_ENV=.venv .venv/bin/componentize-py --wit-path wit componentize policy --python-path src \
                  --stub-wasi --output no-words.wasm";
    let policy = first_policy(&folder, "python", &["python3 -m venv .venv", installs, builds]);
    let expected = ["ERROR: JSONDecodeError < ", "PreCheck.evaluate (/0/policy.py:"];
    an_exception_says_where(&policy, "src/policy.py", "if match := ", "json.loads(text.text)\n            ", &expected);
}

/// Judges answers and records; counts bytes behind other alphabets.
const ANSWERS: &str = r#"
use octroi_policy::prelude::*;

struct Guard;

impl Policy for Guard {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        Description::new("no-words", "1.0.0", "Masks one word in answers and records")
    }
}

fn judge(messages: &[Message], role: Role) -> Verdict {
    let mut verdict = Verdict::allow();
    for text in texts(messages).filter(|text| text.role == role) {
        assert!(text.keyword("panic").next().is_none());
        for found in text.keyword("word") {
            verdict.raise(Action::Redact);
            let finding = Finding::new("word", "words", Severity::Low).at(text.place(found.clone()));
            verdict = verdict.finding(finding).edit(text.edit(found, "****"));
        }
    }
    verdict
}

impl Response for Guard {
    fn response(&self, _: &Context, answer: &Answer) -> Verdict {
        judge(&answer.choices, Role::Assistant)
    }
}

impl Audit for Guard {
    fn audit(&self, _: &Context, entry: &Entry) -> Verdict {
        judge(&entry.messages, Role::User)
    }
}

octroi_policy::export!(Guard: Response + Audit);
"#;

#[test]
fn a_new_policy_in_rust_builds_and_passes_its_cases_and_its_author_goes_on_from_there() {
    let folder = folder();
    let policy = first_policy(&folder, "rust", &["cargo build --release --target wasm32-unknown-unknown"]);

    // Without its settings it is no policy as it stands; what can be said is said.
    let said = run(&policy, &["policy", "inspect", "no-words.wasm"]).failed(1);
    for expected in ["sha256", "octroi:policy/pre-check@0.1.0", "configure: settings: missing field `project`"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let said = run(&policy, &["policy", "inspect", "no-words.yaml"]).fine();
    for expected in
        ["no-words 1.0.0", "after configure and 2 cases", "first call", "(p99)", "WIT        octroi:policy@0.1.0"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }

    // Answers and records, behind other alphabets.
    fs::write(policy.join("src/lib.rs"), ANSWERS).unwrap();
    let manifest = "name: no-words\nmodule: no-words.wasm\ntests:\n  - { name: one, query: none, expect: {} }\n";
    fs::write(policy.join("no-words.yaml"), manifest).unwrap();
    run(folder.path(), &["policy", "build", "no-words"]).fine();
    let said = run(&policy, &["policy", "test", "no-words.yaml"]).fine();
    assert!(said.contains("no-words: 1 case passed"), "{said}");
    for phase in ["response", "audit"] {
        let arguments =
            ["policy", "run", "no-words.yaml", "--phase", phase, "--query", "Ein 密钥 😀 Word, größer: word"];
        let said = run(&policy, &arguments).fine();
        assert!(said.contains("text    Ein 密钥 😀 [Word], größer: [word]\n"), "{said}");
        assert!(said.contains("after   Ein 密钥 😀 ****, größer: ****\n"), "{said}");
    }
    let said = run(&policy, &["policy", "run", "no-words.yaml", "--phase", "pre-check", "--query", "word"]).failed(1);
    assert!(said.contains("the policy answers response, audit"), "{said}");
    let said = run(&policy, &["policy", "run", "no-words.yaml", "--query", "do not panic"]).failed(1);
    assert!(said.contains("panicked at src/lib.rs:") && said.contains("(trap)"), "{said}");
    let panics = manifest.replace("query: none", "messages: [{ role: assistant, text: panic }]")
        + "  - { name: two, query: none, expect: { action: deny } }\n  - { name: three, query: none, expect: {} }\n";
    fs::write(policy.join("no-words.yaml"), panics).unwrap();
    let said = run(&policy, &["policy", "test", "no-words.yaml"]).failed(1);
    for expected in [
        "panicked at src/lib.rs:",
        "case `one`: it trapped",
        "case `two`: expected `deny`, got `allow`",
        "no-words: 2 of 3 cases failed",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    fs::write(policy.join("no-words.yaml"), format!("{manifest}capabilities: [nothing]\n")).unwrap();
    let said = run(&policy, &["policy", "test", "no-words.yaml"]).failed(1);
    assert_eq!(said.matches("capabilities[0]: found `nothing`").count(), 1, "{said}");
    fs::write(policy.join("no-words.yaml"), format!("{manifest}sooner: true\n")).unwrap();
    let said = run(&policy, &["policy", "test", "no-words.yaml"]).failed(1);
    assert_eq!(said.matches("unknown key").count(), 1, "an error is told once: {said}");
    fs::write(policy.join("no-words.yaml"), manifest).unwrap();

    // The tool's words and its exit code are what an author sees of a mistake.
    fs::write(policy.join("src/lib.rs"), "fn broken(").unwrap();
    let said = run(&policy, &["policy", "build"]).failed(101);
    assert!(said.contains("error: ") && said.contains("`cargo build --release"), "{said}");
}

#[test]
fn what_was_found_is_in_colour_on_a_terminal_unless_no_color_is_set() {
    let folder = folder();
    let manifest = shipped("pii.yaml");
    let arguments = ["policy", "run", &manifest, "--query", "Grüße 😀 an jane.doe@example.org!"];
    let said = |no_color: &str| {
        let (ours, theirs) = terminal();
        let mut command = octroi(folder.path(), &arguments);
        assert!(command.env("NO_COLOR", no_color).stdout(theirs).status().unwrap().success());
        drop(command);
        let mut text = Vec::new();
        // Linux says "input/output error" when nobody holds the other end any more.
        let _ = fs::File::from(ours).read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    };
    let coloured = said("");
    assert!(coloured.contains("Grüße 😀 an \u{1b}[41mjane.doe@example.org\u{1b}[0m!"), "{coloured}");
    let plain = said("1");
    assert!(plain.contains("Grüße 😀 an [jane.doe@example.org]!") && !plain.contains('\u{1b}'), "{plain}");
}

/// Both ends of a pseudo-terminal.
fn terminal() -> (std::os::fd::OwnedFd, fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = fs::File::options().read(true).write(true).open(name).unwrap();
    (ours, theirs)
}

#[test]
fn new_refuses_what_is_there_and_a_bad_name_and_leaves_nothing() {
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("full")).unwrap();
    fs::write(here.join("full/notes.txt"), "mine").unwrap();
    fs::write(here.join("file"), "mine").unwrap();
    for name in ["full", "file"] {
        let said = run(here, &["policy", "new", name]).failed(1);
        assert!(said.contains(name), "{said}");
    }
    let long = "a".repeat(64);
    for name in ["Upper", "two words", "under_score", "größer", "a/b", "..", "", &long] {
        let said = run(here, &["policy", "new", name]).failed(2);
        assert!(said.contains("lower-case letters, digits and `-`"), "{said}");
    }
    run(here, &["policy", "new", "-x"]).failed(2);
    run(here, &["policy", "new", "fine", "--lang", "cobol"]).failed(2);
    run(here, &["policy", "new", "fine", "--path", "file/below"]).failed(1);
    let mut left: Vec<_> = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["file", "full"]);
    assert_eq!(fs::read_dir(here.join("full")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(here.join("file")).unwrap(), "mine");
}

/// Half of its files fit, as on a full disk.
#[test]
fn new_takes_away_what_it_wrote_when_the_rest_cannot_be_written() {
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("there")).unwrap();
    for path in ["there", "made"] {
        let limited = "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\"";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", limited, env!("CARGO_BIN_EXE_octroi"), "policy", "new", "half", "--path", path]);
        let said = Said::from(command.current_dir(here).output().unwrap()).failed(1);
        assert!(said.contains(&format!("{path}: nothing was made")) && said.contains("too large"), "{said}");
    }
    let left: Vec<_> = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["there"]);
    assert_eq!(fs::read_dir(here.join("there")).unwrap().count(), 0);
}

#[test]
fn every_name_that_a_policy_may_have_makes_a_folder_for_it() {
    let folder = folder();
    let longest = "a".repeat(63);
    for name in ["x", "2024", "null", "1e3", "octroi-policy", "no-project-x-2", "serde", "a--b-", &longest] {
        for language in ["rust", "javascript", "python"] {
            let policy = folder.path().join(language).join(name);
            run(folder.path(), &["policy", "new", name, "--lang", language, "--path", policy.to_str().unwrap()]).fine();
            let text = fs::read_to_string(policy.join(format!("{name}.yaml"))).unwrap();
            let manifest = Manifest::parse(&text, name).unwrap();
            assert_eq!((manifest.name.as_str(), manifest.module), (name, format!("{name}.wasm")));
            assert!(manifest.tests.len() >= 2);
            let readme = fs::read_to_string(policy.join("README.md")).unwrap();
            assert!(readme.starts_with(&format!("# {name}: a policy in ")), "{readme}");
        }
        // Cargo takes the package's name and the versions that are locked, and needs no registry for that.
        let policy = folder.path().join("rust").join(name);
        let mut cargo = std::process::Command::new("cargo");
        cargo.args(["metadata", "--offline", "--format-version", "1"]).current_dir(&policy);
        Said::from(cargo.output().unwrap()).fine();
        let ours = locked(&fs::read_to_string("Cargo.lock").unwrap());
        let theirs = locked(&fs::read_to_string(policy.join("Cargo.lock")).unwrap());
        assert!(theirs.len() < 60 && theirs.iter().any(|(name, _)| name == "serde"), "{theirs:?}");
        let other = theirs.difference(&ours).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        assert!(other.len() <= 1 && other.iter().all(|other| other.ends_with(name)), "{other:?}");
    }
    // In the folder where one is, too.
    let here = folder.path().join("here");
    fs::create_dir(&here).unwrap();
    let said = run(&here, &["policy", "new", "fine", "--path", "."]).fine();
    assert!(here.join("fine.yaml").is_file() && !said.contains("cd "), "{said}");
}

/// Names and versions in a lock.
fn locked(lock: &str) -> BTreeSet<(String, String)> {
    let value = |block: &str, key: &str| block.split_once(key).unwrap().1.split('"').next().unwrap().to_owned();
    let blocks = lock.split("[[package]]").skip(1);
    blocks.map(|block| (value(block, "name = \""), value(block, "version = \""))).collect()
}

/// A program's name, and what it does, in a shell's words.
type Tool = (&'static str, &'static str);

/// A folder of programs.
fn tools(folder: &Path, tools: &[Tool]) -> PathBuf {
    let path = folder.join("tools");
    fs::create_dir_all(&path).unwrap();
    for (name, script) in tools {
        fs::write(path.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    path
}

#[test]
fn build_names_a_missing_tool_with_its_install_line() {
    let cases: [(&str, &[Tool], &str); 7] = [
        ("rust", &[], "https://rustup.rs"),
        ("rust", &[("cargo", "echo 1.95"), ("rustc", "echo /nowhere")], "rustup target add wasm32-unknown-unknown"),
        ("javascript", &[], "node is missing; install Node.js 20"),
        ("javascript", &[("node", "echo v18.19.1")], "node is v18.19.1; install Node.js 20"),
        ("javascript", &[("node", "echo v22.1.0")], "npm is missing"),
        ("python", &[], "python3 is missing, or has no venv; install Python 3.10"),
        ("python", &[("python3", "echo False")], "python3 is too old; install Python 3.10"),
    ];
    for (language, there, expected) in cases {
        let folder = folder();
        run(folder.path(), &["policy", "new", "x", "--lang", language]).fine();
        let path = tools(folder.path(), there);
        let mut command = octroi(folder.path(), &["policy", "build", "x"]);
        let said = Said::from(command.env("PATH", path).env_remove("PYTHON").output().unwrap()).failed(1);
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn build_says_what_a_folder_lacks() {
    let folder = folder();
    let build = || run(folder.path(), &["policy", "build"]);
    let said = build().failed(1);
    assert!(said.contains("no Cargo.toml (Rust)") && said.contains("octroi policy new"), "{said}");
    fs::write(folder.path().join("package.json"), "{}").unwrap();
    let said = build().failed(1);
    assert!(said.contains("no manifest (NAME.yaml)"), "{said}");
    fs::write(folder.path().join("x.yaml"), "name: X\nmodule: x.wasm\n").unwrap();
    let said = build().failed(1);
    assert!(said.contains("x.yaml:1:") && said.contains("found `X`"), "{said}");
    fs::write(folder.path().join("y.yaml"), "name: y\nmodule: y.wasm\n").unwrap();
    fs::write(folder.path().join("z.yml"), "name: z\nmodule: z.wasm\n").unwrap();
    let said = build().failed(1);
    assert!(said.contains("y.yaml") && said.contains("z.yml"), "{said}");
    fs::remove_file(folder.path().join("z.yml")).unwrap();
    // A build that writes something else is not taken for one of the module.
    fs::write(folder.path().join("y.wasm"), "of yesterday").unwrap();
    let path = tools(folder.path(), &[("node", "echo v20.0.0"), ("npm", "echo done")]);
    let said = Said::from(octroi(folder.path(), &["policy", "build"]).env("PATH", path).output().unwrap()).failed(1);
    assert!(said.contains("y.wasm was not written by that build"), "{said}");
}

#[test]
fn inspect_tells_all_that_can_be_said() {
    let folder = folder();
    let said = run(folder.path(), &["policy", "inspect", &shipped("pii.wasm")]).fine();
    let expected = [
        "sha256     ",
        "size       ",
        "form       core module",
        "imports    octroi:policy/types@0.1.0\n           octroi:policy/log@0.1.0\n",
        "octroi:policy/pre-check@0.1.0\n",
        "WIT        octroi:policy@0.1.0\n",
        "policy     pii ",
        "compile    ",
        "after configure\n",
        "first call ",
        "steady     ",
        "verdict    a policy of octroi:policy@0.1.0\n",
    ];
    for expected in expected {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let of_a_manifest = run(folder.path(), &["policy", "inspect", &shipped("pii.yaml")]).fine();
    assert!(of_a_manifest.contains("after configure and 18 cases"), "{of_a_manifest}");
    let no_policies: [(&[u8], &str); 3] = [
        (b"\0asm\x01\0\0\0", "validate: it does not export `octroi:policy/lifecycle@0.1.0`"),
        (b"garbage", "encode: the file does not begin as WebAssembly does"),
        (b"", "encode: the file is empty"),
    ];
    for (bytes, expected) in no_policies {
        fs::write(folder.path().join("none.wasm"), bytes).unwrap();
        let said = run(folder.path(), &["policy", "inspect", "none.wasm"]).failed(1);
        assert!(said.contains("sha256") && said.contains(expected), "{expected}: {said}");
    }
    let said = run(folder.path(), &["policy", "inspect", "nowhere.wasm"]).failed(1);
    assert!(said.contains("nowhere.wasm"), "{said}");
}

#[test]
fn test_run_and_bench_say_what_the_server_would() {
    let folder = folder();
    let here = folder.path();
    for name in ["pii", "audit-redact"] {
        support::copy_policy(name, here);
    }
    let said = run(here, &["policy", "test", "pii.yaml"]).fine();
    assert!(said.contains("18 cases passed"), "{said}");
    let said = run(here, &["policy", "run", "pii.yaml", "--query", "Grüße 😀 an jane.doe@example.org!"]).fine();
    assert!(said.contains("action  redact") && said.contains("[jane.doe@example.org]!"), "{said}");
    assert!(said.contains("after   Grüße 😀 an [EMAIL]!"), "{said}");
    let facts = ["--client", "a", "--tenant", "b", "--model", "m", "--provider", "p", "--request-type", "sql"];
    let facts = facts.into_iter().chain(["--attribute", "ticket=4711", "--attribute", "plan=a=b"]);
    let asked: Vec<_> = ["policy", "run", "pii.yaml", "--query", "Hello"].into_iter().chain(facts).collect();
    assert!(run(here, &asked).fine().contains("action  allow"));
    let said = run(here, &["policy", "run", "pii.yaml", "--query", "x", "--attribute", "ticket"]).failed(2);
    assert!(said.contains("expected NAME=VALUE"), "{said}");
    let said = run(here, &["policy", "bench", "audit-redact.yaml"]).fine();
    assert!(said.contains("fresh sandbox each") && said.contains("one instance kept"), "{said}");

    let manifest = here.join("pii.yaml");
    let shipped = fs::read_to_string(&manifest).unwrap();
    let wrong = shipped.clone()
        + "  - { name: wrong, query: a@example.org, expect: { action: allow } }\n  - { name: wrong too, query: hello, \
           expect: { rules: [email] } }\n";
    fs::write(&manifest, wrong).unwrap();
    let said = run(here, &["policy", "test", "pii.yaml"]).failed(1);
    assert!(said.contains("2 of 20 cases failed"), "{said}");
    // A pin is held, as the server holds it.
    fs::write(&manifest, format!("sha256: {}\n{shipped}", "0".repeat(64))).unwrap();
    let said = run(here, &["policy", "test", "pii.yaml"]).failed(1);
    assert!(said.contains("pii.yaml pins 000"), "{said}");
    fs::write(&manifest, shipped).unwrap();
    fs::write(here.join("pii.wasm"), "garbage").unwrap();
    let said = run(here, &["policy", "test", "pii.yaml"]).failed(1);
    assert!(said.contains("encode"), "{said}");
}
