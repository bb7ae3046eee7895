//! `NAME.yaml`: what the gateway must know before it trusts a component.

mod case;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::Surface;
use super::digest::Digest;
pub use super::limits::Limits;
pub use crate::config::PolicyName as Name;
use crate::config::yaml;
pub use case::{Case, CaseContext, CaseMessage, CasePart, Expectation};

/// The largest manifest that is read, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 8 << 20;

/// How much of a manifest is read: a thousand patterns of a thousand characters, and what is known about them.
pub(crate) const BOUNDS: yaml::Bounds = yaml::Bounds { bytes: MAX_MANIFEST_BYTES, nodes: 200_000 };

/// A manifest, checked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The policy's id in verdicts, records and metrics: lower-case letters, digits and `-`, at most 63.
    pub name: Name,
    /// The component's file, relative to the manifest.
    pub module: String,
    /// The only digest of `module` that is accepted.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// Lower runs earlier; ties by name.
    #[serde(default = "default_order")]
    pub order: i32,
    /// Whether its verdicts count.
    #[serde(default)]
    pub mode: Mode,
    /// Percent of requests it is enforced on; on the rest it runs as `shadow`.
    #[serde(default)]
    pub rollout: Rollout,
    /// What it applies to.
    #[serde(default, rename = "match")]
    pub scope: Scope,
    /// The phases in which it is asked; `None`: all that the component exports.
    #[serde(default)]
    pub phases: Option<Phases>,
    /// What happens to a request that it could not judge.
    #[serde(default)]
    pub on_error: OnError,
    /// How it is shown answers that are streamed.
    #[serde(default)]
    pub stream: Streaming,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Host interfaces that it may import beside `log`.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Handed to the component as JSON.
    #[serde(default = "empty_object")]
    pub settings: serde_json::Value,
    /// Cases that a version must pass before it goes live.
    #[serde(default)]
    pub tests: Vec<Case>,
}

fn default_order() -> i32 {
    100
}

fn empty_object() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

/// Host interfaces that a manifest can grant. `log` needs no grant.
pub const GRANTABLE: &[&str] = &["clock", "counters"];

/// A value that is right by itself and wrong where it stands.
struct Misplaced {
    /// Path of the key.
    key: String,
    /// What is wrong and what is allowed.
    problem: String,
}

impl Misplaced {
    fn at(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

impl Manifest {
    /// Parses a manifest; `what` names it in errors.
    pub fn parse(text: &str, what: &str) -> Result<Self, yaml::Error> {
        let mut manifest: Self = yaml::parse_within(text, what, BOUNDS)?;
        if let Err(Misplaced { key, problem }) = manifest.check() {
            return Err(yaml::refuse(text, what, &key, problem));
        }
        if let Some(phases) = &manifest.phases {
            // Which phase a case asks is part of the version; what the component exports beside these is not.
            manifest.tests.iter_mut().for_each(|case| case.phase = case.phase.or(phases.first().copied()));
        }
        Ok(manifest)
    }

    fn check(&self) -> Result<(), Misplaced> {
        if self.module.is_empty() || self.module.starts_with('/') {
            let found = format!("found `{}`, expected a file name relative to the manifest", self.module);
            return Err(Misplaced::at("module", found));
        }
        if !self.settings.is_object() {
            return Err(Misplaced::at("settings", "expected a mapping of names to values"));
        }
        self.limits.check().map_err(|error| Misplaced::at(error.key, error.to_string()))?;
        if self.stream.window > MAX_STREAM_WINDOW {
            let found = format!("found {}, expected at most {MAX_STREAM_WINDOW}", self.stream.window);
            return Err(Misplaced::at("stream.window", found));
        }
        let settings = self.settings.to_string().len() as u64;
        if settings > self.limits.settings.as_u64() {
            let found =
                format!("{settings} bytes as JSON, more than `limits.settings` ({}) allows", self.limits.settings);
            return Err(Misplaced::at("settings", found));
        }
        for (index, capability) in self.capabilities.iter().enumerate() {
            if !GRANTABLE.contains(&capability.as_str()) {
                let found = format!(
                    "found `{capability}`; host interfaces that can be granted: {} (`log` needs no grant)",
                    GRANTABLE.join(", ")
                );
                return Err(Misplaced::at(format!("capabilities[{index}]"), found));
            }
        }
        self.scope.check()?;
        for (index, case) in self.tests.iter().enumerate() {
            case.check(index)?;
            if let Some(phase) = case.phase.filter(|phase| !self.asks(*phase)) {
                let problem = format!("case `{}` asks `{}`, which `phases` leaves out", case.name, phase.as_str());
                return Err(Misplaced::at(format!("tests[{index}].phase"), problem));
            }
        }
        Ok(())
    }

    /// Whether it is asked in this phase, if the component exports it.
    pub fn asks(&self, phase: Phase) -> bool {
        self.phases.as_ref().is_none_or(|phases| phases.contains(&phase))
    }

    /// Whether its verdict on this request counts, if it is asked.
    pub fn enforced_on(&self, request_id: &str) -> bool {
        self.mode == Mode::Enforce && self.rollout.enforced(&self.name, request_id)
    }

    /// Digest of the settings as the component gets them.
    pub fn settings_hash(&self) -> Digest {
        Digest::of(self.settings.to_string().as_bytes())
    }
}

/// Whether a policy's verdicts count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// They are recorded and change nothing.
    Shadow,
    /// It is not evaluated.
    Off,
}

impl Mode {
    /// As it stands in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// What happens to a request that a policy could not judge (trap, deadline, memory, bad edits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It is refused.
    #[default]
    Deny,
    /// It goes on, and the record says so.
    Allow,
}

/// How a policy is shown an answer that is streamed. Of no consequence to one that does not answer `response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Streaming {
    /// What is held back for it.
    pub mode: StreamMode,
    /// With `transform`, bytes at the end of a part's text that are held back, so that what begins there can still be
    /// replaced; in every mode, bytes before what is new that are shown again.
    pub window: ByteSize,
}

impl Default for Streaming {
    fn default() -> Self {
        Self { mode: StreamMode::default(), window: ByteSize(128) }
    }
}

/// The widest window of [`Streaming`].
pub const MAX_STREAM_WINDOW: ByteSize = ByteSize(64 << 10);

/// What is held back of a stream until a policy has seen it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamMode {
    /// Nothing: it sees all, changes nothing, and can end the stream.
    Observe,
    /// The window: its edits are applied before the text goes out.
    #[default]
    Transform,
    /// Everything: it is shown the answer when it is whole.
    Buffer,
}

/// Percent of requests on which a policy is enforced: 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Rollout(u8);

impl Default for Rollout {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<u64> for Rollout {
    type Error = String;

    fn try_from(percent: u64) -> Result<Self, String> {
        match u8::try_from(percent) {
            Ok(percent @ 0..=100) => Ok(Self(percent)),
            _ => Err(format!("found {percent}, expected a percentage from 0 to 100")),
        }
    }
}

impl Rollout {
    /// As it is written.
    pub fn percent(self) -> u8 {
        self.0
    }

    /// Whether this request is on the enforced side. By a hash of the policy's name and the request's id, which the
    /// server makes, so that a caller cannot choose its side.
    pub fn enforced(self, policy: &Name, request_id: &str) -> bool {
        if self.0 == 100 {
            return true;
        }
        let digest = Digest::of_pieces([policy.as_str().as_bytes(), request_id.as_bytes()]);
        let [a, b, c, d, ..] = *digest.as_bytes();
        u32::from_le_bytes([a, b, c, d]) % 100 < u32::from(self.0)
    }
}

/// What a policy applies to. An empty list: everything. Entries are exact, or end in `*` for a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Client ids.
    pub clients: Vec<String>,
    /// Providers, by their configured names.
    pub providers: Vec<String>,
    /// Models, as the caller names them or as providers are asked for them.
    pub models: Vec<String>,
    /// Ways in.
    pub surfaces: Vec<Surface>,
    /// Such as `chat`.
    pub request_types: Vec<String>,
}

impl Scope {
    fn check(&self) -> Result<(), Misplaced> {
        let lists = [
            ("clients", &self.clients),
            ("providers", &self.providers),
            ("models", &self.models),
            ("request_types", &self.request_types),
        ];
        for (key, list) in lists {
            let ends_early = |entry: &String| entry.find('*').is_some_and(|at| at + 1 < entry.len());
            if let Some((index, entry)) = list.iter().enumerate().find(|(_, entry)| ends_early(entry)) {
                let found = format!("found `{entry}`; a `*` stands at the end only, for a prefix");
                return Err(Misplaced::at(format!("match.{key}[{index}]"), found));
            }
        }
        Ok(())
    }

    /// Entries for providers that none of these is.
    pub fn providers_beside<'a>(&'a self, configured: &'a [String]) -> impl Iterator<Item = &'a str> {
        let fits = |entry: &str| covers(&[entry.to_owned()], configured.iter().map(String::as_str));
        self.providers.iter().map(String::as_str).filter(move |entry| !fits(entry))
    }

    /// Whether it has requests of this client under it.
    pub fn covers_client(&self, client: &str) -> bool {
        covers(&self.clients, [client])
    }

    /// Whether a request falls under it. A provider or model matches when the request could still go there: with no
    /// provider or model known, every list matches.
    pub fn covers(&self, context: &super::Context) -> bool {
        let mut models = context.model.iter().chain(&context.model_aliases).map(String::as_str).peekable();
        self.covers_client(&context.client)
            && (self.surfaces.is_empty() || self.surfaces.contains(&context.surface))
            && covers(&self.request_types, [context.request_type.as_str()])
            && (context.providers.is_empty() || covers(&self.providers, context.providers.iter().map(String::as_str)))
            && (models.peek().is_none() || covers(&self.models, models))
    }
}

fn covers<'a>(patterns: &[String], values: impl IntoIterator<Item = &'a str>) -> bool {
    patterns.is_empty()
        || values.into_iter().any(|value| {
            patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => value.starts_with(prefix),
                None => value == pattern,
            })
        })
}

/// The moments at which policies are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before a request goes to a model.
    PreCheck,
    /// On what the model answered.
    Response,
    /// On what is kept.
    Audit,
}

impl Phase {
    /// All, in the order in which a request meets them.
    pub const ALL: [Self; 3] = [Self::PreCheck, Self::Response, Self::Audit];

    /// As it stands in WIT, manifests and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreCheck => "pre-check",
            Self::Response => "response",
            Self::Audit => "audit",
        }
    }
}

/// Some of the phases, at least one, in the order in which a request meets them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Phase>")]
pub struct Phases(Vec<Phase>);

impl TryFrom<Vec<Phase>> for Phases {
    type Error = &'static str;

    fn try_from(mut phases: Vec<Phase>) -> Result<Self, Self::Error> {
        if phases.is_empty() {
            return Err("found none, expected some of pre-check, response, audit; `mode: off` switches a policy off");
        }
        phases.sort_unstable();
        phases.dedup();
        Ok(Self(phases))
    }
}

impl std::ops::Deref for Phases {
    type Target = [Phase];

    fn deref(&self) -> &[Phase] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_where_it_stands_has_its_line_and_its_key() {
        for (keys, expected) in [
            ("module: /p.wasm", "2:1: module: found `/p.wasm`"),
            ("module: p.wasm\nsettings: [1]", "3:1: settings: expected a mapping"),
            ("module: p.wasm\nlimits:\n  time: 0ms", "4:3: limits.time: found 0s"),
            ("module: p.wasm\nstream:\n  mode: buffer\n  window: 65KiB", "5:3: stream.window: found 65.0 KiB"),
            ("module: p.wasm\ncapabilities:\n  - clock\n  - files", "5:5: capabilities[1]: found `files`"),
            ("module: p.wasm\nmatch:\n  clients: [a*, a*b]", "4:17: match.clients[1]: found `a*b`; a `*` stands"),
            ("module: p.wasm\ntests:\n  - { name: c, expect: {} }", "4:5: tests[0]: case `c`: give either"),
            ("module: p.wasm\ntests:\n  - name: c\n    expect: {}\n    messages: []", "6:5: tests[0].messages: case"),
            (
                "module: p.wasm\ntests:\n  - name: c\n    expect: {}\n    messages:\n      - { role: user, text: x, name: y }",
                "7:32: tests[0].messages[0].name: case `c`: `name` is a tool's",
            ),
        ] {
            let text = format!("name: p\n{keys}\n");
            let error = Manifest::parse(&text, "p.yaml").unwrap_err().to_string();
            assert!(error.starts_with(&format!("p.yaml:{expected}")), "{keys}: {error}");
        }
    }
}
