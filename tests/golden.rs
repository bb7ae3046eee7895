//! Requests and answers of every provider in both directions, as files: `tests/golden/PROVIDER/CASE.yaml` holds what a
//! client sends, what the vendor gets, what the vendor answers and what the client gets. How a file is read and written
//! stands in `tests/golden/README.md`.
//!
//! Each provider's cases run through one real gateway, in the order of their names, in front of the double of its vendor:
//! the double refuses what the vendor refuses, and answers what the file says.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panics")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::SystemTime;

use double::{Answer, Double, ReceivedRequest, Recording, Refusal, Step, Vendor};
use mistral_double::MistralDouble;
use openai_double::{Host, OpenAi};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_yaml::Value;
use support::{Gateway, Setup};

/// The sections of a file, in the order in which a request goes its way, and whether they are written by the test.
const SECTIONS: [(&str, bool); 5] = [
    ("client_sends", false),
    ("vendor_gets", true),
    ("vendor_answers", false),
    ("client_gets", true),
    ("record_notes", true),
];

/// Headers that say nothing of a dialect.
const PLAIN_HEADERS: [&str; 4] = ["host", "content-length", "user-agent", "accept-encoding"];

/// A file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    client_sends: Sent,
    #[serde(rename = "vendor_gets")]
    _vendor_gets: Option<IgnoredAny>,
    vendor_answers: Option<Told>,
    #[serde(rename = "client_gets")]
    _client_gets: Option<IgnoredAny>,
    #[serde(rename = "record_notes")]
    _record_notes: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    #[serde(default = "chat")]
    path: String,
    body: Value,
}

fn chat() -> String {
    "/v1/chat/completions".to_owned()
}

/// What the vendor answers: a body, or the events of a stream.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    events: Option<String>,
}

fn ok() -> u16 {
    200
}

type Check = Box<dyn Fn(&ReceivedRequest) -> Result<Answer, Refusal> + Send + Sync>;

/// A vendor whose double looks at each request, and whose answer is a file's.
struct Golden {
    double: Check,
    /// What ends a line of its events.
    line_end: &'static str,
    told: Mutex<Option<Told>>,
    refused: Mutex<Vec<String>>,
}

impl Vendor for Golden {
    fn answer(&self, request: &ReceivedRequest) -> Result<Answer, Refusal> {
        let own = (self.double)(request);
        if request.is_probe() {
            return own;
        }
        if let Err(refusal) = own {
            self.refused.lock().unwrap().push(refusal.body.to_string());
            return Err(refusal);
        }
        let told = self.told.lock().unwrap().clone().unwrap_or_else(|| panic!("{} was not expected", request.uri));
        let mut answer = match (&told.body, &told.events) {
            (Some(body), None) => Answer::json(told.status, &serde_json::to_value(body).unwrap()),
            (None, Some(events)) => {
                let events = format!("{}\n\n", events.trim_end()).replace('\n', self.line_end);
                Answer::steps("text/event-stream", vec![Step::Send(events.into())])
            }
            _ => panic!("`vendor_answers` has either a `body` or `events`"),
        };
        for (name, value) in told.headers {
            answer.headers_mut().insert(hyper::header::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        Ok(answer)
    }
}

/// A provider of one type alone, and its vendor.
struct Played {
    /// Below `llm_providers`; `ORIGIN` stands for the vendor's.
    provider: String,
    double: Check,
    line_end: &'static str,
}

impl Played {
    fn new(provider: &str, double: impl Vendor) -> Self {
        Self { provider: provider.to_owned(), double: Box::new(move |it| double.answer(it)), line_end: "\n" }
    }
}

/// One test for each folder, and no folder without one.
macro_rules! providers {
    ($($test:ident: $folder:literal => $played:expr;)*) => {
        const FOLDERS: &[&str] = &[$($folder),*];
        $(
            #[tokio::test]
            async fn $test() {
                replay($folder, $played).await;
            }
        )*
    };
}

providers! {
    mistral: "mistral" => Played::new(
        &format!("credentials: {{ api_key: {} }}, config: {{ endpoint: ORIGIN }}", mistral_double::DEFAULT_KEY),
        MistralDouble::builder().vendor(),
    );
    openai: "openai" => Played::new(
        &format!("credentials: {{ api_key: {} }}, config: {{ endpoint: ORIGIN }}", openai_double::KEY),
        OpenAi::at(Host::OpenAi),
    );
    azure_openai: "azure-openai" => Played::new(
        &format!(
            "credentials: {{ api_key: {} }}, config: {{ endpoint: ORIGIN, deployment_name: {}, model: gpt-4o, \
             api_version: \"2024-10-21\" }}",
            openai_double::KEY,
            openai_double::DEPLOYMENT
        ),
        OpenAi::at(Host::Azure),
    );
    anthropic: "anthropic" => Played::new(
        &format!("credentials: {{ api_key: {} }}, config: {{ endpoint: ORIGIN }}", anthropic_double::KEY),
        anthropic_double::Anthropic::default(),
    );
    gemini: "gemini" => Played {
        line_end: "\r\n",
        ..Played::new(
            &format!("credentials: {{ api_key: {} }}, config: {{ endpoint: ORIGIN }}", gemini_double::KEY),
            gemini_double::Gemini::default(),
        )
    };
    ollama: "ollama" => Played::new(
        "config: { endpoint: ORIGIN, models: [\"*\"] }",
        OpenAi::at(Host::Ollama),
    );
    openai_compatible: "openai-compatible" => Played::new(
        &format!(
            "type: openai-compatible, credentials: {{ api_key: {} }}, config: {{ endpoint: ORIGIN, model: \
             deepseek-reasoner, models: [\"*\"] }}",
            openai_double::KEY
        ),
        OpenAi::at(Host::Lenient),
    );
}

/// What every provider has a case of.
const EACH: [&str; 8] =
    ["chat", "stream", "tools", "stream-tools", "images", "json-schema", "json-mode", "finish-length"];

#[test]
fn every_folder_has_its_test() {
    let mut expected = FOLDERS.to_vec();
    expected.sort_unstable();
    let all = entries(&root());
    let folders: Vec<_> = all.iter().filter(|path| path.is_dir()).map(|path| name(path)).collect();
    assert_eq!(folders, expected);
    let files: Vec<_> = all.iter().filter(|path| !path.is_dir()).map(|path| name(path)).collect();
    assert_eq!(files, ["README.md"], "cases stand in the folder of their provider");
    for folder in all.iter().filter(|path| path.is_dir()) {
        for case in EACH {
            assert!(folder.join(case).with_extension("yaml").is_file(), "{} has no case `{case}`", name(folder));
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Runs every case of a provider, and tells of all that differ.
async fn replay(folder: &str, Played { provider, double, line_end }: Played) {
    let golden = Golden { double, line_end, told: Mutex::default(), refused: Mutex::default() };
    let vendor = Double::start_on(0, golden, Recording::default()).await.unwrap();
    let provider = provider.replace("ORIGIN", &format!("\"{}\"", vendor.origin()));
    let setup = Setup { double: Some(format!("llm_providers:\n  {folder}: {{ {provider} }}\n")), ..Setup::default() };
    let setup = setup.policies_further(", allow_none: true").yaml("routing: { retry: { attempts: 1 } }\n");
    let mut gateway = setup.start();
    let mut differences = Vec::new();
    for path in entries(&root().join(folder)) {
        assert!(path.extension().is_some_and(|it| it == "yaml"), "{}: a case is a file `NAME.yaml`", path.display());
        let text = fs::read_to_string(&path).unwrap();
        let case: Case = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        gateway.until(&format!("/api/v1/llm-providers/{folder}/health"), healthy).await;
        let seen = exchange(&gateway, &vendor, &case).await;
        let refused = std::mem::take(&mut *vendor.vendor().refused.lock().unwrap());
        assert_eq!(refused, [] as [&str; 0], "{}: the vendor's double refuses the request", path.display());
        differences.extend(compared(&path, &text, &seen));
        if seen.failed {
            // What a failure leaves behind of a provider's health is not the next case's.
            gateway = gateway.restart();
        }
    }
    assert!(differences.is_empty(), "\n{}\nIf this is what is meant, run `make golden`", differences.join("\n"));
}

fn healthy(told: &serde_json::Value) -> bool {
    told["health"]["status"] == "healthy"
}

/// The sections that the test writes.
struct Seen {
    sections: BTreeMap<&'static str, Value>,
    failed: bool,
}

async fn exchange(gateway: &Gateway, vendor: &Double<Golden>, case: &Case) -> Seen {
    vendor.vendor().told.lock().unwrap().clone_from(&case.vendor_answers);
    vendor.forget_requests();
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let request = gateway.client.post(gateway.url(&case.client_sends.path)).json(&case.client_sends.body);
    let mut response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    let whole = loop {
        match response.chunk().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let body = without_time(&String::from_utf8(body).unwrap(), began);
    let mut got = serde_yaml::Mapping::new();
    got.insert("status".into(), status.into());
    if let Some(wait) = headers.get("retry-after") {
        got.insert("retry-after".into(), wait.to_str().unwrap().into());
    }
    if headers["content-type"].to_str().unwrap().starts_with("text/event-stream") {
        got.insert("events".into(), body.strip_suffix('\n').unwrap().into());
        if !whole {
            got.insert("then".into(), "the connection breaks".into());
        }
    } else {
        got.insert("body".into(), serde_json::from_str(&body).unwrap());
    }
    let notes = gateway.search(serde_json::json!({ "limit": 1 })).await[0]["policy_details"]["notes"].clone();
    let all = vendor.requests();
    let mut requests = all.iter().filter(|request| !request.is_probe()).map(|request| vendor_got(request));
    let asked = requests.next();
    assert!(requests.next().is_none(), "the vendor is asked once");
    assert_eq!(asked.is_some(), case.vendor_answers.is_some(), "whether the vendor is asked");
    let sections = [("vendor_gets", asked), ("client_gets", Some(got.into())), ("record_notes", noted(&notes))];
    let sections = sections.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    Seen { sections, failed: status != 200 || !whole }
}

fn vendor_got(request: &ReceivedRequest) -> Value {
    let headers = request.headers.iter().filter(|(name, _)| !PLAIN_HEADERS.contains(&name.as_str()));
    let headers: BTreeMap<_, _> = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let mut got = serde_yaml::Mapping::new();
    got.insert(request.method.as_str().into(), request.uri.to_string().into());
    got.insert("headers".into(), serde_yaml::to_value(headers).unwrap());
    // Read as YAML, which keeps the order of the fields.
    got.insert("body".into(), serde_json::from_slice(&request.body).unwrap());
    got.into()
}

fn noted(notes: &serde_json::Value) -> Option<Value> {
    (!notes.is_null()).then(|| serde_yaml::to_value(notes).unwrap())
}

/// The one thing that differs from run to run: the second at which the gateway made an answer whose vendor tells none.
/// Ids are the vendor's, or are derived from its answer.
fn without_time(body: &str, began: u64) -> String {
    let mut pieces = body.split("\"created\":");
    let mut out = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (time, rest) = piece.split_at(piece.find(|it: char| !it.is_ascii_digit()).unwrap());
        let time = if time.parse::<u64>().unwrap() < began { time } else { "\"NOW\"" };
        out.extend(["\"created\":", time, rest]);
    }
    out
}

/// How a file differs from what was seen; with OCTROI_WRITE_GOLDEN it is written anew instead.
fn compared(path: &Path, text: &str, seen: &Seen) -> Option<String> {
    let written = written(text, seen);
    if written == text {
        return None;
    }
    if std::env::var_os("OCTROI_WRITE_GOLDEN").is_some() {
        fs::write(path, written).unwrap();
        return None;
    }
    let mut diff = Command::new("diff");
    diff.arg("-u").arg(path).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = diff.spawn().unwrap();
    child.stdin.take().unwrap().write_all(written.as_bytes()).unwrap();
    Some(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
}

/// The file with the test's sections as they were seen. The others, and what stands before them, stay as they are.
fn written(text: &str, seen: &Seen) -> String {
    let begins =
        |line: &str| SECTIONS.iter().find(|(name, _)| line.strip_prefix(name).is_some_and(|it| it.starts_with(':')));
    let mut head = String::new();
    let mut own: BTreeMap<&str, String> = BTreeMap::new();
    let mut section = None;
    for line in text.split_inclusive('\n') {
        section = begins(line).map(|(name, _)| *name).or(section);
        match section {
            None => head.push_str(line),
            Some(name) => own.entry(name).or_default().push_str(line),
        }
    }
    let sections = SECTIONS.iter().filter_map(|(name, ours)| match ours {
        true => seen.sections.get(name).map(|value| serde_yaml::to_string(&BTreeMap::from([(name, value)])).unwrap()),
        false => own.remove(name),
    });
    let all: Vec<_> = [head].into_iter().chain(sections).map(|it| it.trim_end().to_owned()).collect();
    all.join("\n\n") + "\n"
}
