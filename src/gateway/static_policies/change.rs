//! One change, from the file to what is in force.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::rules::{self, Folder, RuleFile, Version};
use super::{Author, LOAD, Result, StaticPolicies, StaticPolicyError, trial};
use crate::audit::record::StaticPolicyChange;
use crate::chat::{Message, Role as Speaker};
use crate::gateway::to_its_end::to_its_end;
use crate::policy::component::Question;
use crate::policy::load::LoadCode;
use crate::policy::manifest::{Manifest, Phase};
use crate::policy::{Candidate, CandidateError, Context, PolicyState, Surface};

/// A change of the file, and what comes of it.
pub(super) struct Edit<T> {
    /// For the caller.
    pub(super) answer: T,
    /// The rule's id.
    pub(super) id: String,
    /// What becomes of the rule.
    pub(super) outcome: Outcome,
    /// Whether the rules look for more than before.
    pub(super) adds: bool,
}

/// What becomes of a rule.
pub(super) enum Outcome {
    /// It is this version from now on.
    Version(Version),
    /// It is as it was.
    Same,
    /// It is taken away.
    Gone,
}

impl StaticPolicies {
    /// One change, from the file to what is in force.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        author: Author,
        edit: impl FnOnce(&mut RuleFile) -> Result<Edit<T>> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        let work = async move {
            let _turn = this.changes.turn(&author.tenant).await?;
            this.changed(author, edit).await
        };
        to_its_end(&self.tasks, work)?.await
    }

    async fn changed<T: Send + 'static>(
        &self,
        author: Author,
        edit: impl FnOnce(&mut RuleFile) -> Result<Edit<T>> + Send + 'static,
    ) -> Result<T> {
        let directory = self.host.directory().to_owned();
        let Edited { folder, made, before, file, text, edit } = blocking(move || edited(&directory, edit)).await?;
        let change = match &edit.outcome {
            Outcome::Same if self.is_in_force(before.as_deref()) => return Ok(edit.answer),
            Outcome::Same => {
                let problem =
                    "was edited, and what stands there is not in force yet; try again, or see what the log says of it";
                return Err(StaticPolicyError::Conflict(format!("{} {problem}", rules::FILE)));
            }
            Outcome::Version(version) => version.change.as_str(),
            Outcome::Gone => "deleted",
        };
        let candidate = match self.tried(&author, &folder, &before, &text, edit.adds).await {
            Ok(candidate) => candidate,
            Err(error) => {
                if made {
                    let unmade = blocking(move || {
                        folder.unmake();
                        Ok(())
                    });
                    unmade.await?;
                }
                return Err(error);
            }
        };
        // Before it is made: a change without a record would be nobody's.
        self.record(&author, &edit.id, change).await?;
        let after = Some(text);
        if !replaced(&folder, &before, &after).await? {
            let problem = format!("{} was edited while the change was made; make it again", rules::FILE);
            return Err(StaticPolicyError::Conflict(problem));
        }
        self.come_into_force(&folder, &candidate, before, after.clone()).await?;
        tracing::info!(id = edit.id, change, client = author.client, "static policy changed");
        if file.is_bare() {
            self.take_away(&folder, &after).await;
        }
        let kept = blocking(move || {
            if let Outcome::Version(version) = edit.outcome
                && let Err(error) = folder.remember(&edit.id, version)
            {
                tracing::warn!(%error, "a version of a static policy is in force, but not in its history");
            }
            folder.forget_others(file.rules());
            Ok(edit.answer)
        });
        kept.await
    }

    /// Who changes what, durable.
    async fn record(&self, author: &Author, policy: &str, change: &str) -> Result<()> {
        let record = StaticPolicyChange {
            change_id: format!("change-{}", Uuid::now_v7().simple()),
            at: Timestamp::now(),
            client: author.client.clone(),
            tenant: author.tenant.clone(),
            policy: policy.to_owned(),
            change: change.to_owned(),
        };
        let unrecorded = |error| StaticPolicyError::Unavailable(format!("the change cannot be recorded ({error})"));
        let written = self.audit.append(record).map_err(unrecorded)?;
        written.await.map(|_| ()).map_err(unrecorded)
    }

    /// The version that the text makes, loaded, and tried on an ordinary text if it looks for more than before: rules
    /// that are too slow would refuse every request.
    async fn tried(
        &self,
        author: &Author,
        folder: &Folder,
        before: &Option<String>,
        text: &str,
        adds: bool,
    ) -> Result<Candidate> {
        let loaded = self.host.candidate(folder.file(), text.to_owned(), None, LOAD).await;
        let candidate = loaded.map_err(|error| self.not_loaded(error, before.as_deref()))?;
        for phase in candidate.phases().into_iter().filter(|_| adds) {
            let speaker = if phase == Phase::Response { Speaker::Assistant } else { Speaker::User };
            let context = Context {
                surface: Surface::Gateway,
                request_type: "chat".into(),
                client: author.client.clone(),
                tenant: author.tenant.clone(),
                ..Context::default()
            };
            let messages = vec![Message::text(speaker, trial::ordinary_text())];
            self.host.try_candidate(&candidate, Question::of_case(phase), context, messages).await?;
        }
        Ok(candidate)
    }

    /// Whose fault it is that a version cannot be loaded: the change's, if what stands in the file is in force.
    pub(super) fn not_loaded(&self, error: CandidateError, before: Option<&str>) -> StaticPolicyError {
        let error = match error {
            CandidateError::Busy => return StaticPolicyError::Busy,
            CandidateError::Load(error) => error,
        };
        tracing::info!(%error, "a change of the static policies was not taken");
        let (step, code) = (error.step.as_str(), error.code.as_str());
        match error.code {
            LoadCode::SettingsRefused
            | LoadCode::GuestFailed
            | LoadCode::CaseFailed
            | LoadCode::NotDeterministic
            | LoadCode::NotFreezable
            | LoadCode::CompileLimit
            | LoadCode::TooLarge
            | LoadCode::BadManifest => {}
            _ => {
                return StaticPolicyError::Unavailable(format!(
                    "the policy that static policies are rules of ({}) cannot be loaded: {step}, {code}; the gateway's \
                     log says more",
                    rules::MODULE
                ));
            }
        }
        let problem = error.message.as_str();
        if !self.is_in_force(before) {
            return StaticPolicyError::Conflict(format!(
                "{} was edited, and what stands there is not in force ({step}: {problem}); correct the file first",
                rules::FILE
            ));
        }
        if error.code != LoadCode::SettingsRefused {
            return StaticPolicyError::Refused(format!(
                "the policies cannot be loaded with this change: {step}, {code}; they are too large or too many"
            ));
        }
        // `settings.patterns[7].pattern: unclosed group`: the number is nobody's business.
        let of_rule = problem.strip_prefix("settings.patterns[").and_then(|rest| rest.split_once("]."));
        StaticPolicyError::Refused(of_rule.map_or(problem, |(_, problem)| problem).to_owned())
    }

    /// Whether what stands in the file is what requests meet.
    fn is_in_force(&self, text: Option<&str>) -> bool {
        text.is_none_or(|text| {
            let manifest = Manifest::parse(text, rules::FILE).ok();
            manifest.zip(self.status()).is_some_and(|(manifest, status)| {
                status.state == PolicyState::Live && status.manifest.is_some_and(|live| *live == manifest)
            })
        })
    }

    /// Takes the file away: its last rule is gone. It is in force without rules by then, since one that vanishes stays in
    /// force for a while. Without it the gateway would refuse every request where it is required.
    async fn take_away(&self, folder: &Folder, file: &Option<String>) {
        if self.host.is_required(rules::POLICY) {
            return;
        }
        if let Err(error) = replaced(folder, file, &None).await {
            tracing::warn!(%error, "the file of the static policies holds none any more, and cannot be taken away");
        }
    }

    /// Reloads, and puts the file back if the candidate is not in force then.
    async fn come_into_force(
        &self,
        folder: &Folder,
        candidate: &Candidate,
        before: Option<String>,
        after: Option<String>,
    ) -> Result<()> {
        let reloaded = self.host.reload().await;
        if reloaded.is_ok() && self.host.is_in_force(candidate) {
            return Ok(());
        }
        let why = match reloaded {
            Err(error) => error.to_string(),
            Ok(_) => match self.status().and_then(|status| status.error) {
                Some(error) => format!("{}, {}", error.step.as_str(), error.code.as_str()),
                None => "the file was changed meanwhile".to_owned(),
            },
        };
        tracing::error!(why, "a change of the static policies did not come into force; the file is put back");
        replaced(folder, &after, &before).await?;
        if let Err(error) = self.host.reload().await {
            tracing::error!(%error, "the policies directory cannot be read; the policies in force stay");
        }
        Err(StaticPolicyError::Unavailable(format!("the change did not come into force ({why}) and was taken back")))
    }
}

/// A change that is made in memory alone. Its folder is there: a version cannot be loaded without one.
struct Edited<T> {
    folder: Folder,
    /// Whether the folder was made for it.
    made: bool,
    /// What stands in the file.
    before: Option<String>,
    file: RuleFile,
    /// What is to stand there.
    text: String,
    edit: Edit<T>,
}

fn edited<T>(directory: &Path, edit: impl FnOnce(&mut RuleFile) -> Result<Edit<T>>) -> Result<Edited<T>> {
    let folder = Folder::of(directory)?;
    let before = folder.read()?;
    let mut file = before.as_deref().map_or_else(|| Ok(RuleFile::new()), RuleFile::parse)?;
    if file.is_off() {
        let problem = format!("{} says `mode: off`; no policy in it is in force", rules::FILE);
        return Err(StaticPolicyError::Conflict(problem));
    }
    let edit = edit(&mut file)?;
    let text = file.text()?;
    let made = folder.make()?;
    Ok(Edited { folder, made, before, file, text, edit })
}

/// Writes `to`, if what stands in the file is `from`: an edit by hand is never written over.
async fn replaced(folder: &Folder, from: &Option<String>, to: &Option<String>) -> Result<bool> {
    let (folder, from, to) = (folder.clone(), from.clone(), to.clone());
    blocking(move || {
        let is_as_read = folder.read()? == from;
        if is_as_read {
            folder.write(to.as_deref())?;
        }
        Ok(is_as_read)
    })
    .await
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StaticPolicyError::Internal))
}
