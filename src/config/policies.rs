//! `policies`: where policies come from, and what the host may use for them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::assembly::Assembly;
use super::environment::Environment;
use super::error::ConfigError;
use super::policy_name::PolicyName;
use super::scalar::{Line, Parsed, Size, Span, Whole};
use super::yaml::KeyPath;

/// Instances of policies at one time. Each reserves 8 GiB of addresses, in one piece for all: of the 128 TiB that a
/// process has, no more than about 85 lie together.
const MAX_INSTANCES: u32 = 10_000;

/// Policies and their host. Relative paths start at the working directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policies {
    /// The folder that is watched.
    pub directory: PathBuf,
    /// Policies without which the requests that they would see are denied.
    pub required: BTreeSet<PolicyName>,
    /// Where compiled code is kept; never inside `directory`.
    pub cache: PathBuf,
    /// Bytes that the compiled code of versions that are not in force may take there.
    pub cache_size: u64,
    /// The loader's executable; the running one when absent.
    pub worker: Option<PathBuf>,
    /// Whether the gateway serves without any live policy.
    pub allow_none: bool,
    /// Evaluations at one time.
    pub max_concurrent: u32,
    /// Instances of policies that streamed answers may keep, one for each stream and policy that it is shown to.
    pub max_streams: u32,
    /// How often the folder is scanned when no event came.
    pub poll_interval: Duration,
    /// How long the folder must be quiet before it is scanned.
    pub reload_debounce: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPolicies {
    directory: Option<Parsed<Line>>,
    required: Option<Vec<Parsed<PolicyName>>>,
    cache: Option<Parsed<Line>>,
    cache_size: Option<Size<{ 1 << 20 }, { 1 << 40 }>>,
    worker: Option<Parsed<Line>>,
    allow_none: Option<bool>,
    max_concurrent: Option<Whole<1, 10_000>>,
    max_streams: Option<Whole<1, 10_000>>,
    poll_interval: Option<Parsed<Span<100, 3_600_000>>>,
    reload_debounce: Option<Parsed<Span<10, 2_000>>>,
}

impl RawPolicies {
    pub(super) fn assemble(self, assembly: &mut Assembly<'_>) -> Result<Policies, ConfigError> {
        let path = |Parsed(Line(text)): Parsed<Line>| PathBuf::from(text);
        let directory = self.directory.map_or_else(|| "policies".into(), path);
        let cache = match self.cache {
            Some(cache) => path(cache),
            None => user_cache(assembly.environment).unwrap_or_else(|| {
                assembly.warn(
                    "neither XDG_CACHE_HOME nor HOME is set: compiled policies are kept in .octroi-cache \
                     (policies.cache names another folder)",
                );
                ".octroi-cache".into()
            }),
        };
        if plain(&cache).starts_with(plain(&directory)) {
            return Err(assembly.invalid(
                KeyPath::of("policies.cache"),
                format!("found a folder inside the watched one ({}), allowed: any other", directory.display()),
            ));
        }
        let max_concurrent = self.max_concurrent.map_or(256, Whole::get);
        let max_streams = self.max_streams.map_or(256, Whole::get);
        if max_concurrent + max_streams > MAX_INSTANCES {
            return Err(assembly.invalid(
                KeyPath::of("policies"),
                format!(
                    "found max_concurrent {max_concurrent} and max_streams {max_streams}, allowed: at most \
                     {MAX_INSTANCES} together, since each reserves addresses"
                ),
            ));
        }
        Ok(Policies {
            directory,
            required: self.required.unwrap_or_default().into_iter().map(|Parsed(name)| name).collect(),
            cache,
            cache_size: self.cache_size.map_or(1 << 30, |size| size.bytes() as u64),
            worker: self.worker.map(path),
            allow_none: self.allow_none.unwrap_or(false),
            max_concurrent,
            max_streams,
            poll_interval: self.poll_interval.map_or(Duration::from_secs(2), |Parsed(Span(time))| time),
            reload_debounce: self.reload_debounce.map_or(Duration::from_millis(200), |Parsed(Span(time))| time),
        })
    }
}

/// By the XDG base directory specification, which has relative paths ignored.
fn user_cache(environment: &Environment) -> Option<PathBuf> {
    let absolute = |name| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("octroi"))
}

/// The path without `.` and, where the text alone tells, without `..`. Links are the policy host's business.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
