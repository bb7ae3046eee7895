//! The gateway's half of loading: from the cache when the version is known, through a loader process otherwise.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::cache::{self, Cache, Key};
use super::protocol::{About, CaseReport, Event, Job, MAX_ARTIFACT_BYTES, MAX_LINE_BYTES};
use super::{LoadCode, LoadError, Module, Step};
use crate::policy::component::Ready;
use crate::policy::digest::Digest;
use crate::policy::engine::Engine;
use crate::policy::lane::Habit;
use crate::policy::limits::Limits;
use crate::policy::manifest::Manifest;
use crate::text::one_line;

/// Loads versions. Whoever uses it loads one at a time.
#[derive(Debug)]
pub struct Worker {
    engine: Arc<Engine>,
    cache: Option<Cache>,
    executable: PathBuf,
    patience: Duration,
}

/// A version that is ready to judge.
#[derive(Clone, Debug)]
pub struct Version {
    /// Digest of component, settings and cases together.
    pub id: Digest,
    /// Ready to be instantiated.
    pub ready: Arc<Ready>,
    /// What is known about it.
    pub about: Arc<About>,
    /// How long its evaluations were lately.
    pub habit: Arc<Habit>,
}

/// Digest of what determines a policy's behaviour: component, settings and cases (what warm-up left in the guest stays
/// in the image).
pub fn version_id(manifest: &Manifest, module: &Digest) -> Digest {
    let settings = manifest.settings.to_string();
    let cases = serde_json::to_vec(&manifest.tests).unwrap_or_default();
    Digest::of_pieces([module.as_bytes(), settings.as_bytes(), &cases])
}

/// Digest of all that a load hangs on: the version, its limits, grants and phases. While it is the same, whatever else the
/// manifest says, the same comes of it.
pub fn load_id(manifest: &Manifest, module: &Digest) -> Digest {
    let Manifest { limits, capabilities, phases, .. } = manifest;
    let further = format!("{limits:?} {capabilities:?} {phases:?}");
    Digest::of_pieces([version_id(manifest, module).as_bytes(), further.as_bytes()])
}

impl Worker {
    /// `executable` is started as `executable policy load`; `patience` is how long it may take.
    pub fn new(engine: Arc<Engine>, cache: Option<Cache>, executable: PathBuf, patience: Duration) -> Self {
        Self { engine, cache, executable, patience }
    }

    /// Makes `module` under `manifest` ready.
    pub async fn load(&self, manifest: &Manifest, module: Module) -> Result<Version, LoadError> {
        self.load_reporting(manifest, module, None).await
    }

    /// The same, and tells of each case as it is checked: of none when the version comes from the cache.
    pub async fn load_reporting(
        &self,
        manifest: &Manifest,
        module: Module,
        report: Option<&mut (dyn FnMut(CaseReport) + Send)>,
    ) -> Result<Version, LoadError> {
        let id = version_id(manifest, &module.digest);
        let key = self.key(manifest, &id);
        if let Some(cached) = self.cached(manifest, &module.digest).await {
            return cached;
        }
        let (about, artifact) = self.run_loader(manifest, module.bytes, report).await?;
        let component = match self.keep(key, artifact, &about).await? {
            Kept::Mapped(component) => component,
            Kept::InMemory(artifact) => cache::load_from_memory(&self.engine, &artifact)
                .map_err(|error| LoadError::new(Step::Link, LoadCode::NotCompilable, format!("{error:#}")))?,
        };
        self.ready(manifest, id, component, about)
    }

    /// The version, if it is in the cache.
    pub async fn cached(&self, manifest: &Manifest, module: &Digest) -> Option<Result<Version, LoadError>> {
        let id = version_id(manifest, module);
        let (component, about) = self.map(self.key(manifest, &id)).await?;
        Some(self.ready(manifest, id, component, about))
    }

    fn ready(
        &self,
        manifest: &Manifest,
        id: Digest,
        component: wasmtime::component::Component,
        about: About,
    ) -> Result<Version, LoadError> {
        let ready = Ready::new(&self.engine, &component)
            .map_err(|error| LoadError::new(Step::Link, LoadCode::BadExports, error.to_string()))?;
        // Of one from the cache no loader has seen this manifest.
        ready.check_phases(manifest.phases.as_ref())?;
        Ok(Version { id, ready: Arc::new(ready), about: Arc::new(about), habit: Arc::default() })
    }

    /// The limits under which the cases passed and the grants are part of what the cached answer means.
    fn key(&self, manifest: &Manifest, id: &Digest) -> Key {
        Key::frozen(&self.engine, id, &format!("{:?} {:?}", manifest.limits, manifest.capabilities))
    }

    /// Keeps the cache at this size: what was used longest ago goes, and never what these policies need.
    pub async fn tidy(&self, size: u64, live: impl Iterator<Item = (&Manifest, &Version)>) {
        let Some(cache) = self.cache.clone() else { return };
        let needed = live
            .flat_map(|(manifest, version)| {
                let instrumented = Key::instrumented(&self.engine, &version.about.component);
                [self.key(manifest, &version.id), instrumented]
            })
            .collect();
        let tidied = tokio::task::spawn_blocking(move || cache.tidy(size, &needed)).await;
        if let Ok(Err(error)) = tidied {
            tracing::warn!(%error, "the policies' cache could not be tidied");
        }
    }

    async fn map(&self, key: Key) -> Option<(wasmtime::component::Component, About)> {
        let (cache, engine) = (self.cache.clone()?, self.engine.clone());
        tokio::task::spawn_blocking(move || cache.map(&engine, key)).await.ok()?
    }

    /// Writes the artifact to the cache and maps it from there: mapped pages cost no memory until they are used.
    async fn keep(&self, key: Key, artifact: Vec<u8>, about: &About) -> Result<Kept, LoadError> {
        let Some(cache) = self.cache.clone() else { return Ok(Kept::InMemory(artifact)) };
        let (engine, about) = (self.engine.clone(), about.clone());
        let kept = tokio::task::spawn_blocking(move || match cache.store(key, &artifact, &about) {
            Ok(()) => match cache.map::<About>(&engine, key) {
                Some((component, _)) => Kept::Mapped(component),
                None => Kept::InMemory(artifact),
            },
            Err(error) => {
                tracing::warn!(%error, "compiled policies cannot be kept; the next start compiles them again");
                Kept::InMemory(artifact)
            }
        });
        kept.await.map_err(|error| LoadError::new(Step::Link, LoadCode::LoaderFailed, error.to_string()))
    }

    async fn run_loader(
        &self,
        manifest: &Manifest,
        module: Arc<Vec<u8>>,
        report: Option<&mut (dyn FnMut(CaseReport) + Send)>,
    ) -> Result<(About, Vec<u8>), LoadError> {
        let job = Job {
            settings: manifest.settings.clone(),
            cases: manifest.tests.clone(),
            capabilities: manifest.capabilities.clone(),
            phases: manifest.phases.clone(),
            every_case: report.is_some(),
            budget: manifest.limits.budget(),
            cache: self.cache.as_ref().map(|cache| cache.directory().to_owned()),
            module_bytes: module.len() as u64,
        };
        let failed = |message: String| LoadError::new(Step::Start, LoadCode::LoaderFailed, message);
        let mut line = serde_json::to_vec(&job).map_err(|error| failed(error.to_string()))?;
        line.push(b'\n');
        let limits = &manifest.limits;
        let mut child = start(&self.executable, limits).map_err(|error| {
            failed(format!("{} could not be started as the loader: {error}", self.executable.display()))
        })?;
        let mut input = child.stdin.take();
        let feeding = tokio::spawn(async move {
            if let Some(input) = &mut input {
                // A loader that ends early closes the pipe; what it said counts.
                let _ = input.write_all(&line).await;
                let _ = input.write_all(&module).await;
                let _ = input.shutdown().await;
            }
        });
        let mut step = Step::Start;
        // Processor time and more: the loader must be able to run into its own limit, which says more.
        let patience = self.patience.max(limits.compile_time.saturating_mul(2));
        let listening = tokio::time::timeout(patience, listen(&mut child, manifest, &mut step, report)).await;
        feeding.abort();
        match listening {
            Err(_) => {
                let _ = child.kill().await;
                Err(LoadError::new(
                    step,
                    LoadCode::LoaderTimeout,
                    format!("the loader was not done after {} s and was ended", patience.as_secs()),
                ))
            }
            Ok(outcome) => outcome,
        }
    }
}

enum Kept {
    Mapped(wasmtime::component::Component),
    InMemory(Vec<u8>),
}

fn start(executable: &Path, limits: &Limits) -> std::io::Result<Child> {
    Command::new(executable)
        .args(["policy", "load"])
        .arg(format!("--compile-memory={}", limits.compile_memory.as_u64()))
        .arg(format!("--compile-seconds={}", limits.compile_time.as_secs()))
        // The keys of providers stand in the environment; the loader needs nothing of it.
        .env_clear()
        // Or the allocator maps a gigabyte at once, all of which counts towards the loader's limit on memory.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

async fn listen(
    child: &mut Child,
    manifest: &Manifest,
    step: &mut Step,
    mut report: Option<&mut (dyn FnMut(CaseReport) + Send)>,
) -> Result<(About, Vec<u8>), LoadError> {
    let failed = |step: Step, message: String| LoadError::new(step, LoadCode::LoaderFailed, message);
    let stderr = child.stderr.take();
    let complaints = tokio::spawn(async move {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            // Bounded, and read to the end, so that the loader never waits for us.
            let _ = (&mut stderr).take(4_096).read_to_end(&mut text).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        text
    });
    let stdout = child.stdout.take().ok_or_else(|| failed(*step, "the loader has no output".into()))?;
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    loop {
        line.clear();
        let read = (&mut stdout).take(MAX_LINE_BYTES).read_line(&mut line).await;
        if read.map_err(|error| failed(*step, error.to_string()))? == 0 {
            let status = child.wait().await.map_err(|error| failed(*step, error.to_string()))?;
            let complaints = complaints.await.unwrap_or_default();
            return Err(ended(*step, status, &String::from_utf8_lossy(&complaints), &manifest.limits));
        }
        let event = serde_json::from_str(&line)
            .map_err(|error| failed(*step, format!("the loader said something unexpected: {error}")))?;
        match event {
            Event::Step(begun) => *step = begun,
            Event::Log(text) => tracing::info!(policy = %manifest.name, "{}", one_line(&text, 2_048)),
            Event::Case(case) => {
                if let Some(report) = &mut report {
                    report(case);
                }
            }
            Event::Failed(error) => return Err(error),
            Event::Done { about, artifact_bytes } if artifact_bytes <= MAX_ARTIFACT_BYTES => {
                let mut artifact = Vec::with_capacity(usize::try_from(artifact_bytes).unwrap_or_default());
                (&mut stdout)
                    .take(artifact_bytes)
                    .read_to_end(&mut artifact)
                    .await
                    .map_err(|error| failed(*step, error.to_string()))?;
                if artifact.len() as u64 != artifact_bytes {
                    return Err(failed(*step, "the loader ended in the middle of its answer".into()));
                }
                return Ok((about, artifact));
            }
            Event::Done { artifact_bytes, .. } => {
                return Err(LoadError::new(
                    *step,
                    LoadCode::TooLarge,
                    format!("the compiled code has {artifact_bytes} bytes, at most {MAX_ARTIFACT_BYTES} are loaded"),
                ));
            }
        }
    }
}

/// Why a loader that gave no answer ended.
fn ended(step: Step, status: ExitStatus, complaints: &str, limits: &Limits) -> LoadError {
    use std::os::unix::process::ExitStatusExt;
    const XCPU: i32 = Signal::XCPU.as_raw();
    const ABORT: i32 = Signal::ABORT.as_raw();
    const KILL: i32 = Signal::KILL.as_raw();
    let (code, cause) = match status.signal() {
        Some(XCPU) => {
            let allowed = humantime::format_duration(limits.compile_time);
            (LoadCode::CompileLimit, format!("it used more processor time than `limits.compile_time` ({allowed})"))
        }
        Some(ABORT) if complaints.contains("memory allocation of") => {
            let allowed = limits.compile_memory;
            (LoadCode::CompileLimit, format!("it needed more memory than `limits.compile_memory` ({allowed})"))
        }
        // The same bytes would do it again.
        Some(ABORT) if complaints.contains("overflowed its stack") => {
            (LoadCode::NotCompilable, "it ran out of stack: something in the module nests too deeply".to_owned())
        }
        Some(ABORT) => (LoadCode::LoaderFailed, "it gave up by itself".to_owned()),
        Some(KILL) => (LoadCode::LoaderFailed, "it was killed, perhaps by the system for want of memory".to_owned()),
        Some(signal) => (LoadCode::LoaderFailed, format!("it was ended by signal {signal}")),
        None => (LoadCode::LoaderFailed, format!("it ended with {status}")),
    };
    let complaints = one_line(complaints.trim(), 512);
    let said = if complaints.is_empty() { String::new() } else { format!("; it said: {complaints}") };
    LoadError::new(step, code, format!("the loader gave no answer: {cause}{said}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_loader_that_aborts_is_not_always_short_of_memory() {
        for (complaint, code, words) in [
            ("memory allocation of 4096 bytes failed", LoadCode::CompileLimit, "`limits.compile_memory` (2.0 GiB)"),
            ("thread 'main' (7) has overflowed its stack", LoadCode::NotCompilable, "it ran out of stack"),
            ("fatal runtime error: something else", LoadCode::LoaderFailed, "it gave up by itself"),
        ] {
            let error = ended(Step::Compile, ExitStatus::from_raw(6), complaint, &Limits::default());
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.contains(words) && error.message.ends_with(complaint), "{error}");
        }
    }
}
