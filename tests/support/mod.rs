//! A gateway for tests: the real binary, in a folder of its own, on a free port, in front of the Mistral double.

#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panics"
)]
#![allow(unreachable_pub, missing_docs, reason = "a module of tests")]

pub mod author;
pub mod gate;
pub mod guest;
pub mod ports;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mistral_double::MistralDouble;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a gateway is started with.
#[derive(Default)]
pub struct Setup {
    pub double: Option<String>,
    pub policies: Vec<String>,
    pub yaml: String,
    /// Further keys below `policies`, each behind a comma.
    pub policies_further: String,
    pub environment: Vec<(String, String)>,
    /// The `audit` key's value; by default an SQLite file in the folder.
    pub audit: Option<String>,
}

impl Setup {
    /// The shipped policies in front of this double.
    pub fn with(double: &MistralDouble) -> Self {
        let provider = format!(
            "llm_providers:\n  mistral:\n    credentials: {{ api_key: \"{}\" }}\n    config: {{ endpoint: \"{}\" }}\n",
            double.key(),
            double.origin()
        );
        Self { double: Some(provider), policies: shipped(), ..Self::default() }
    }

    /// The shipped policies, and no provider.
    pub fn without_provider() -> Self {
        Self { policies: shipped(), ..Self::default() }
    }

    /// Further top-level keys of the configuration.
    pub fn yaml(mut self, yaml: &str) -> Self {
        self.yaml.push_str(yaml);
        self
    }

    pub fn policies(mut self, names: &[&str]) -> Self {
        self.policies = names.iter().map(|it| (*it).to_owned()).collect();
        self
    }

    /// Further keys below `policies`, each behind a comma.
    pub fn policies_further(mut self, keys: &str) -> Self {
        self.policies_further = keys.to_owned();
        self
    }

    /// The `audit` key's value, in flow style. `FOLDER` stands for the gateway's folder.
    pub fn audit(mut self, audit: &str) -> Self {
        self.audit = Some(audit.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the folder.
    pub fn prepare(self) -> Prepared {
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        fs::create_dir(&policies).unwrap();
        for name in &self.policies {
            copy_policy(name, &policies);
        }
        let audit = self.audit.unwrap_or_else(|| "{ url: \"sqlite://FOLDER/octroi.db\" }".to_owned());
        let audit = audit.replace("FOLDER", &folder.path().display().to_string());
        let mut yaml = format!("version: \"1.0\"\nlog: {{ format: json, level: debug }}\naudit: {audit}\n");
        yaml.push_str(&self.double.unwrap_or_default());
        yaml.push_str(&self.yaml);
        if !yaml.contains("\nserver:") {
            yaml.push_str("server: { listen: \"127.0.0.1:0\" }\n");
        }
        if !yaml.contains("\nadmin:") {
            yaml.push_str("admin: { listen: \"127.0.0.1:0\" }\n");
        }
        if !yaml.contains("\npolicies:") {
            yaml.push_str(&format!("policies: {}\n", policies_yaml(&policies, &self.policies_further)));
        }
        fs::write(folder.path().join("octroi.yaml"), yaml).unwrap();
        Prepared { folder, environment: self.environment, wrapper: Vec::new() }
    }

    pub fn start(self) -> Gateway {
        self.prepare().start()
    }
}

/// The `policies` key for a folder; compiled code is shared by all tests.
pub fn policies_yaml(policies: &Path, further: &str) -> String {
    format!("{{ directory: \"{}\", cache: \"{}\"{further} }}", policies.display(), cache().display())
}

/// Compiled policies are kept between tests: they are compiled once.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy-cache")
}

pub fn shipped() -> Vec<String> {
    ["pii", "sql-injection", "audit-redact"].map(str::to_owned).into()
}

/// The repository's policies, as `make plugins` built them.
pub fn repository_policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

pub fn copy_policy(name: &str, to: &Path) {
    let from = repository_policies();
    for extension in ["yaml", "wasm"] {
        let file = format!("{name}.{extension}");
        fs::copy(from.join(&file), to.join(&file))
            .unwrap_or_else(|error| panic!("policies/{file}: {error}; run `make plugins`"));
    }
}

/// A folder with configuration and policies.
pub struct Prepared {
    pub folder: TempDir,
    pub environment: Vec<(String, String)>,
    /// A command that runs what follows it.
    pub wrapper: Vec<String>,
}

impl Prepared {
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn policies(&self) -> PathBuf {
        self.path().join("policies")
    }

    /// Gives each policy a second for an evaluation: a busy machine's slowness is then nobody's verdict.
    pub fn unhurried(self) -> Self {
        for entry in fs::read_dir(self.policies()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "yaml") {
                let mut text = fs::read_to_string(&path).unwrap();
                match text.find("\nlimits: {") {
                    Some(at) => text.insert_str(at + "\nlimits: {".len(), " time: 1s,"),
                    None => text.push_str("\nlimits: { time: 1s }\n"),
                }
                fs::write(path, text).unwrap();
            }
        }
        self
    }

    /// A command of the binary, in this folder, with nothing of the developer's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let octroi = env!("CARGO_BIN_EXE_octroi");
        let mut line = self.wrapper.iter().map(String::as_str).chain([octroi]);
        let mut command = Command::new(line.next().unwrap());
        command
            .args(line)
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts `octroi serve` and waits until it accepts requests.
    pub fn start(self) -> Gateway {
        self.start_within(PATIENCE)
    }

    /// The same, with patience for many policies.
    pub fn start_within(self, patience: Duration) -> Gateway {
        let mut child =
            self.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("octroi starts");
        let log = Log::of(child.stderr.take().unwrap());
        let accepts = |line: &Value| line["fields"]["message"] == "octroi accepts requests";
        let Some(line) = log.wait_blocking(patience, accepts) else {
            let _ = child.kill();
            panic!("octroi did not start:\n{}", log.text());
        };
        let address = line["fields"]["address"].as_str().unwrap().parse().unwrap();
        let admin = line["fields"]["admin"].as_str().unwrap().parse().ok();
        Gateway { prepared: Some(self), child, address, admin, log, client: client(PATIENCE) }
    }
}

/// A client that waits for an answer for so long.
pub fn client(patience: Duration) -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(patience).build().unwrap()
}

/// The lines of a gateway's log.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn of(stderr: impl std::io::Read + Send + 'static) -> Self {
        let log = Self(Arc::default());
        let shared = log.0.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                shared.lock().unwrap().lines.push(line);
            }
            shared.lock().unwrap().ended = true;
        });
        log
    }

    /// Waits for a line, from the first on. What the test itself serves goes on meanwhile: an upstream, say.
    pub async fn wait(&self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let until = Instant::now() + PATIENCE;
        let mut seen = 0;
        loop {
            match self.look(&mut seen, &fits) {
                ControlFlow::Break(line) => return line,
                ControlFlow::Continue(()) if Instant::now() >= until => return None,
                ControlFlow::Continue(()) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// The same, and nothing goes on meanwhile.
    fn wait_blocking(&self, patience: Duration, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let until = Instant::now() + patience;
        let mut seen = 0;
        loop {
            match self.look(&mut seen, &fits) {
                ControlFlow::Break(line) => return line,
                ControlFlow::Continue(()) if Instant::now() >= until => return None,
                ControlFlow::Continue(()) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// The first line behind those seen that fits. There is none where the log has ended without.
    fn look(&self, seen: &mut usize, fits: impl Fn(&Value) -> bool) -> ControlFlow<Option<Value>> {
        let lines = self.0.lock().unwrap();
        while let Some(line) = lines.lines.get(*seen) {
            *seen += 1;
            if let Ok(value) = serde_json::from_str::<Value>(line)
                && fits(&value)
            {
                return ControlFlow::Break(Some(value));
            }
        }
        if lines.ended { ControlFlow::Break(None) } else { ControlFlow::Continue(()) }
    }

    /// How many lines hold this text, once one does: the gateway writes its log behind what it does.
    pub async fn count(&self, text: &str) -> usize {
        self.wait(|line| line.to_string().contains(text)).await;
        self.0.lock().unwrap().lines.iter().filter(|line| line.contains(text)).count()
    }

    /// The lines so far that fit.
    pub fn all(&self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let lines = self.0.lock().unwrap();
        lines.lines.iter().filter_map(|line| serde_json::from_str(line).ok()).filter(|line| fits(line)).collect()
    }

    pub fn text(&self) -> String {
        self.0.lock().unwrap().lines.join("\n")
    }
}

/// A running gateway. Dropping it ends it.
pub struct Gateway {
    pub prepared: Option<Prepared>,
    pub child: Child,
    pub address: SocketAddr,
    /// Where the admin API listens, if it does.
    pub admin: Option<SocketAddr>,
    pub log: Log,
    pub client: reqwest::Client,
}

/// A process that ends with its test, however that ends.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines that a process writes; one that does not come is an error, and not a test without an end.
pub struct Written(std::sync::mpsc::Receiver<String>);

impl Written {
    pub fn of(output: impl std::io::Read + Send + 'static) -> Self {
        let (lines, read) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        Self(read)
    }

    pub fn line(&self) -> String {
        self.0.recv_timeout(PATIENCE).expect("one more line")
    }
}

/// A status and a JSON body.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Gateway {
    pub fn folder(&self) -> &Path {
        self.prepared.as_ref().unwrap().path()
    }

    pub fn policies(&self) -> PathBuf {
        self.folder().join("policies")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin.unwrap())
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(self.url(path)).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.client.post(self.url(path)).json(&body).send().await.unwrap()).await
    }

    /// A prompt in proxy mode.
    pub async fn ask(&self, query: &str) -> Answer {
        self.post("/api/request", json!({ "query": query })).await
    }

    pub async fn admin_get(&self, path: &str) -> Answer {
        answer(self.client.get(self.admin_url(path)).send().await.unwrap()).await
    }

    pub async fn admin_post(&self, path: &str, body: Value) -> Answer {
        answer(self.client.post(self.admin_url(path)).json(&body).send().await.unwrap()).await
    }

    /// What the admin API says about one policy.
    pub async fn policy(&self, name: &str) -> Value {
        let answer = self.admin_get("/admin/policies").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let policies = answer.body["policies"].as_array().unwrap();
        policies.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name} in {}", answer.body)).clone()
    }

    /// Loads what is in the folder, now.
    pub async fn reload(&self) -> Value {
        let answer = self.admin_post("/admin/policies/reload", json!({})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// A prompt in gateway mode.
    pub async fn pre_check(&self, query: &str) -> Answer {
        self.post("/api/policy/pre-check", json!({ "query": query, "client_id": "community" })).await
    }

    pub async fn search(&self, query: Value) -> Vec<Value> {
        let answer = self.post("/api/v1/audit/search", query).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["entries"].as_array().unwrap().clone()
    }

    /// A search in the name of this client.
    pub async fn search_as(&self, client: &str, query: Value) -> Vec<Value> {
        let request = self.client.post(self.url("/api/v1/audit/search")).header("x-client-id", client).json(&query);
        let answer = answer(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["entries"].as_array().unwrap().clone()
    }

    /// Asks until the answer fits.
    pub async fn until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, path, fits).await
    }

    /// The same, with patience for many policies.
    pub async fn until_within(&self, patience: Duration, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + patience;
        loop {
            let answer = self.get(path).await;
            if fits(&answer.body) {
                return answer.body;
            }
            assert!(Instant::now() < until, "{path} never fitted: {}\n{}", answer.body, self.log.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A number of `GET /prometheus`; 0 where nothing was counted. `series` is written as there.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/prometheus").await.body;
        let line = text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(series).map(str::to_owned));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Waits until this policy has let so many requests pass: the next one in order has the last of them.
    pub async fn until_passed(&self, policy: &str, times: f64) {
        let labels = format!(r#"policy="{policy}",phase="pre-check",enforced="true",result="allow""#);
        let series = format!("octroi_policy_evaluations_total{{{labels}}}");
        eventually("the policy is asked", async || self.metric(&series).await >= times).await;
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that it was so far.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// The files of compiled code that it can run, with how often each is mapped: once for each time it was loaded and
    /// is still held. (Images of memory come from the same files; the pool keeps a few of them for a while.)
    pub fn mapped(&self) -> BTreeMap<String, usize> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id())).unwrap();
        let code = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|modes| modes.contains('x')));
        let paths = code.filter_map(|line| line.find('/').map(|at| line[at..].to_owned()));
        let mut mapped = BTreeMap::new();
        for path in paths.filter(|path| path.contains(".cwasm")) {
            *mapped.entry(path).or_default() += 1;
        }
        mapped
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "octroi did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it, and gives its folder.
    pub fn stop(mut self) -> Prepared {
        self.kill();
        self.prepared.take().unwrap()
    }

    /// Ends it in order, and gives all that it has logged, which it writes behind what it does.
    pub async fn whole_log(mut self) -> String {
        self.terminate();
        self.wait();
        self.log.wait(|_| false).await;
        self.log.text()
    }

    /// Starts it again in the same folder.
    pub fn restart(self) -> Self {
        self.stop().start()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() && self.prepared.is_some() {
            eprintln!("--- the gateway's log ---\n{}", self.log.text());
        }
    }
}

/// Waits for a condition, which is looked at again and again.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    eventually_within(PATIENCE, what, holds).await;
}

/// The same, for so long.
pub async fn eventually_within(patience: Duration, what: &str, holds: impl AsyncFn() -> bool) {
    let until = Instant::now() + patience;
    while !holds().await {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub async fn answer(response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}
