//! A manifest and its module, as an author has them on disk: loaded as the server loads them, without its cache.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};

use crate::chat::{Message, Role};
use crate::cli::start::LOAD_TIMEOUT;
use crate::policy::Question;
use crate::policy::component::WIT_VERSION;
use crate::policy::engine::{Allocation, Engine};
use crate::policy::load::protocol::CaseReport;
use crate::policy::load::worker::{Version, Worker};
use crate::policy::load::{LoadError, MAX_MODULE_BYTES, Module};
use crate::policy::manifest::{GRANTABLE, Manifest};
use crate::policy::sandbox::Allowance;

/// Evaluations at once; an author makes one after the other.
const SLOTS: u32 = 8;

pub(super) struct Candidate {
    pub(super) manifest: Manifest,
    pub(super) module: Module,
    pub(super) engine: Arc<Engine>,
    worker: Worker,
}

impl Candidate {
    /// Reads both files.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let (manifest, module) = read_both(path)?;
        Self::new(manifest, module)
    }

    /// A module for which there is no manifest: without settings and cases, with every interface granted, and with time
    /// enough to be measured.
    pub(super) fn without_manifest(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let granted = GRANTABLE.join(", ");
        let manifest =
            format!("name: module\nmodule: module.wasm\nlimits: {{ time: 1s }}\ncapabilities: [{granted}]\n");
        Self::new(Manifest::parse(&manifest, "built in")?, Module::new(bytes))
    }

    fn new(manifest: Manifest, module: Module) -> anyhow::Result<Self> {
        let engine = Engine::start(Allocation::Pooled(SLOTS))?;
        let worker = Worker::new(engine.clone(), None, std::env::current_exe()?, LOAD_TIMEOUT);
        Ok(Self { manifest, module, engine, worker })
    }

    /// Loads it, and tells of each case.
    pub(super) async fn load(&self, report: &mut (dyn FnMut(CaseReport) + Send)) -> Result<Version, LoadError> {
        self.worker.load_reporting(&self.manifest, self.module.clone(), Some(report)).await
    }

    /// The question to ask: of the phase that is named, else of the first in which the policy is asked.
    pub(super) fn question(&self, version: &Version, phase: Option<&str>) -> anyhow::Result<Question> {
        let exported = version.about.phases.iter().copied();
        let asked: Vec<_> = exported.filter(|phase| self.manifest.asks(*phase)).collect();
        let phase = match phase {
            None => asked.first().copied(),
            Some(name) => asked.iter().copied().find(|it| it.as_str() == name),
        };
        match phase {
            Some(phase) => Ok(Question::of_case(phase)),
            None => {
                let names: Vec<_> = asked.iter().map(|it| it.as_str()).collect();
                bail!("--phase: the policy answers {} (of {WIT_VERSION})", names.join(", "))
            }
        }
    }

    /// What the manifest allows for a text of this length.
    pub(super) fn allowance(&self, text_bytes: usize) -> Allowance {
        self.manifest.limits.budget().allowance(text_bytes)
    }
}

/// What a policy is shown: a prompt, or an answer where it judges answers.
pub(super) fn conversation(question: Question, text: &str) -> Vec<Message> {
    let role = if question == Question::Response { Role::Assistant } else { Role::User };
    vec![Message::text(role, text)]
}

/// Reads a manifest, and the module that it names.
pub(in crate::cli) fn read_both(path: &Path) -> anyhow::Result<(Manifest, Module)> {
    let manifest = read_manifest(path)?;
    let file = path.parent().unwrap_or(Path::new("")).join(&manifest.module);
    let limit = manifest.limits.module;
    let module = read_within(&file, limit.as_u64(), &format!("`limits.module` ({limit})")).map_err(|error| {
        let is_missing = error.downcast_ref::<std::io::Error>().is_some_and(|it| it.kind() == ErrorKind::NotFound);
        if is_missing { anyhow!("{error:#}; `octroi policy build` makes it") } else { error }
    })?;
    let (module, pin) = (Module::new(module), manifest.sha256);
    if let Some(pin) = pin.filter(|pin| *pin != module.digest) {
        bail!("{} has the digest {}, but {} pins {pin}", file.display(), module.digest, path.display());
    }
    Ok((manifest, module))
}

/// Reads a manifest.
pub(super) fn read_manifest(path: &Path) -> anyhow::Result<Manifest> {
    let what = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| what.clone())?;
    Ok(Manifest::parse(&text, &what)?)
}

/// Reads a module, within the server's bounds.
pub(super) fn read_module(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_within(path, MAX_MODULE_BYTES, &format!("the {MAX_MODULE_BYTES} bytes that are read"))
}

fn read_within(path: &Path, most: u64, called: &str) -> anyhow::Result<Vec<u8>> {
    let what = || path.display().to_string();
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).with_context(what)?;
    if bytes.len() as u64 > most {
        bail!("{}: larger than {called}", path.display());
    }
    Ok(bytes)
}
