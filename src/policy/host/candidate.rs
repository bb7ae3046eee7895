//! Versions that are tried before they stand in the folder, or that never will.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::PolicyHost;
use crate::chat::Message;
use crate::policy::Context;
use crate::policy::component::{EvaluationError, Question};
use crate::policy::load::worker::{Version, version_id};
use crate::policy::load::{LoadCode, LoadError, Module, Step};
use crate::policy::manifest::{Manifest, Phase};
use crate::policy::readings::Source;
use crate::policy::scan;
use crate::policy::set::LivePolicy;
use crate::policy::verdict::Verdict;

/// A version that is ready and not in force. No request sees it.
#[derive(Clone, Debug)]
pub struct Candidate(Arc<LivePolicy>);

impl Candidate {
    /// Its manifest.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.0.manifest
    }

    /// The phases in which it would be asked.
    pub fn phases(&self) -> Vec<Phase> {
        self.0.phases()
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        &self.0.version
    }
}

/// Why there is no candidate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// Other versions are being loaded; they are loaded one at a time.
    #[error("other policies are being loaded")]
    Busy,
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl PolicyHost {
    /// Loads what a reload would load if a manifest with this text stood at `path`, which lies in the policies
    /// directory and need not exist; its folder must. A reload that finds it there takes it from the cache. `held` is
    /// given back if it is the same version. It waits for the reload that is under way and for other loads, and then for
    /// its own, no longer than `patience` each. No reload waits for it, unless it has something to load.
    pub async fn candidate(
        &self,
        path: &Path,
        text: String,
        held: Option<Candidate>,
        patience: Duration,
    ) -> Result<Candidate, CandidateError> {
        let failed = |error: String| LoadError::new(Step::Read, LoadCode::Unreadable, error);
        let (directory, at) = (self.settings.directory.clone(), path.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let root = std::fs::canonicalize(&directory)?;
            Ok(scan::read_as(&at, &root, text.as_bytes()))
        });
        let read = read.await.map_err(std::io::Error::other).and_then(|read| read);
        let found = read.map_err(|error| failed(error.to_string()))?;
        let (manifest, module) = match (found.manifest, found.module?) {
            (Some(manifest), Some(module)) => (manifest, module),
            _ => return Err(failed("its manifest says `mode: off`".into()).into()),
        };
        let id = version_id(&manifest, &module.digest);
        let held = held.map(|candidate| candidate.0).filter(|policy| policy.is_ready_as(&id, &manifest));
        let in_force = || self.set.load().live().find(|policy| policy.is_ready_as(&id, &manifest)).cloned();
        let loaded = held.or_else(in_force);
        let version = match loaded {
            Some(policy) => policy.version.clone(),
            None => {
                let module = module.read().await?;
                let turn = async {
                    drop(self.known.lock().await);
                    self.loader.lock().await
                };
                let turn = tokio::time::timeout(patience, turn).await.map_err(|_| CandidateError::Busy)?;
                let loaded = tokio::time::timeout(patience, self.worker.load(&manifest, module)).await;
                drop(turn);
                loaded.map_err(|_| {
                    let message = format!("the loader was not done after {} s and was ended", patience.as_secs());
                    LoadError::new(Step::Start, LoadCode::LoaderTimeout, message)
                })??
            }
        };
        Ok(Candidate(LivePolicy::new(manifest, version)))
    }

    /// Loads a version whose files stand nowhere in the policies directory.
    pub async fn load(&self, manifest: Manifest, module: Module) -> Result<Arc<LivePolicy>, LoadError> {
        let turn = self.loader.lock().await;
        let version = self.worker.load(&manifest, module).await?;
        drop(turn);
        Ok(LivePolicy::new(manifest, version))
    }

    /// Asks a candidate about messages, in a sandbox of its own and within its limits. Nothing is recorded.
    pub async fn try_candidate(
        &self,
        candidate: &Candidate,
        question: Question,
        context: Context,
        messages: Vec<Message>,
    ) -> Result<Verdict, EvaluationError> {
        let (source, context, messages) = (Source::of_trial(), Arc::new(context), Arc::new(messages));
        let evaluated = self.runner.evaluate(&candidate.0, source, question, &context, &messages).await;
        evaluated.map(|evaluated| evaluated.verdict).map_err(|failed| failed.error)
    }

    /// Whether this candidate's version, with its manifest, is in force.
    pub fn is_in_force(&self, candidate: &Candidate) -> bool {
        self.set.load().live().any(|live| live.same_as(&candidate.0))
    }
}
