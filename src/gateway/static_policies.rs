//! Static policies: rules that applications make while the gateway runs.
//!
//! A change goes through these steps, one change at a time, and in a task of its own: a caller who goes away leaves no
//! half of it behind.
//!
//! ```text
//! read the file -> change it -> load that version -> try it -> write the file -> reload -> in force -> keep the history
//! ```
//!
//! Nothing is written before the version is loaded and tried: an expression that is refused changes nothing. If it does
//! not come into force all the same, the file is put back. What is shown is what is in force, so that a file that
//! somebody broke by hand hides nothing.

mod trial;

use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::chat::{Message, Role as Speaker};
use crate::config::Role;
use crate::policy::component::{EvaluationError, Question};
use crate::policy::load::{LoadCode, LoadError};
use crate::policy::manifest::Manifest;
use crate::policy::rules::{self, DiskError, FieldError, Fields, FileError, Folder, Rule, RuleFile, Tier, Version};
use crate::policy::{Candidate, CandidateError, Context, PolicyHost, PolicyState, PolicyStatus, Surface};

pub use trial::{Match, Trial};

/// How long a change waits for those before it.
const TURN: Duration = Duration::from_secs(20);
/// How long one version may take to load. Clients wait 30 s (TypeScript) and 60 s (others) for an answer.
const LOAD: Duration = Duration::from_secs(60);

/// The static policies.
#[derive(Debug)]
pub struct StaticPolicies {
    host: Arc<PolicyHost>,
    tasks: TaskTracker,
    /// Held for a whole change.
    turn: Mutex<()>,
    /// What tries expressions.
    probe: Mutex<Option<Candidate>>,
    /// The rules of the manifest that was asked about last.
    seen: StdMutex<Option<Seen>>,
    /// Since when there is what does not say since when it is there.
    since: Timestamp,
}

/// A manifest, and the rules that it holds.
#[derive(Debug)]
struct Seen {
    manifest: Arc<Manifest>,
    rules: Arc<Vec<Rule>>,
}

/// Who makes or asks for a static policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The client.
    pub client: String,
    /// Whose policies it sees and changes.
    pub tenant: String,
    /// `Admin` may also change those of all.
    pub role: Role,
}

/// What an id stands for.
#[derive(Clone, Debug)]
pub enum Found {
    /// A rule.
    Rule(Box<Rule>),
    /// A policy of the folder, which is not changed over HTTP.
    System(Box<PolicyStatus>),
}

/// Why there is no answer about a static policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaticPolicyError {
    /// A value that a rule cannot have.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The policy host does not take the rules with this change.
    #[error("{0}")]
    Refused(String),
    /// There is none with this id, or it is another tenant's.
    #[error("there is no static policy with this id")]
    NotFound,
    /// It is a policy of the folder.
    #[error("system policies are changed in the policies directory, and not over this API")]
    System,
    /// It is one of all tenants.
    #[error("only the role admin may make, change or delete policies of the tier organization")]
    Organization,
    /// There are as many as there may be.
    #[error("{0}")]
    Full(String),
    /// The file is not in order: somebody edited it.
    #[error("{0}")]
    Conflict(String),
    /// Other changes are under way.
    #[error("other policies are being changed or loaded; try again shortly")]
    Busy,
    /// Too many evaluations.
    #[error("the gateway is at its limit of concurrent policy evaluations; try again shortly")]
    Overloaded,
    /// Rules cannot be kept, or not be loaded, at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// The gateway is going down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// A fault of the gateway.
    #[error("internal error; the gateway's log has more")]
    Internal,
}

impl StaticPolicyError {
    /// Stable, for metrics and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Field(_) => "invalid_field",
            Self::Refused(_) => "policy_refused",
            Self::NotFound => "policy_not_found",
            Self::System => "system_policy",
            Self::Organization => "admin_required",
            Self::Full(_) => "too_many_policies",
            Self::Conflict(_) => "policy_file_conflict",
            Self::Busy => "policies_busy",
            Self::Overloaded => "overloaded",
            Self::Unavailable(_) => "policies_unavailable",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}

impl From<FileError> for StaticPolicyError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Unreadable(problem) => Self::Conflict(format!("{problem}; correct the file, or take it away")),
            FileError::Full | FileError::TooLarge => Self::Full(error.to_string()),
            FileError::Field(error) => Self::Field(error),
        }
    }
}

impl From<DiskError> for StaticPolicyError {
    fn from(error: DiskError) -> Self {
        tracing::error!(%error, "static policies cannot be read or written");
        Self::Unavailable(format!("static policies cannot be read or written: {error}"))
    }
}

impl From<EvaluationError> for StaticPolicyError {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::Overloaded => Self::Overloaded,
            EvaluationError::Host => Self::Internal,
            error => Self::Refused(format!("the policies would be too expensive with this change: {error}")),
        }
    }
}

type Result<T> = std::result::Result<T, StaticPolicyError>;

/// A change of the file, and what comes of it.
struct Edit<T> {
    answer: T,
    /// What is to be kept of it, under the rule's id.
    version: Option<(String, Version)>,
    /// Whether the rules look for more than before.
    adds: bool,
}

impl StaticPolicies {
    pub(super) fn new(host: Arc<PolicyHost>, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            host,
            tasks,
            turn: Mutex::default(),
            probe: Mutex::default(),
            seen: StdMutex::default(),
            since: Timestamp::now(),
        })
    }

    /// Since when there is what does not say since when it is there.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The rules in force that apply to requests of this tenant, in the order of the file.
    pub fn rules(&self, tenant: &str) -> Result<Vec<Rule>> {
        Ok(self.in_force()?.iter().filter(|rule| rule.applies_to(tenant)).cloned().collect())
    }

    /// The policies of the folder.
    pub fn system(&self) -> Result<Vec<PolicyStatus>> {
        let file = self.file()?;
        Ok(self.host.statuses().iter().filter(|status| status.path != file).cloned().collect())
    }

    /// What this tenant may see under an id.
    pub fn find(&self, tenant: &str, id: &str) -> Result<Found> {
        let rules = self.in_force()?;
        let rule = rules.iter().find(|rule| rule.id == id).or_else(|| rules.iter().find(|rule| rule.name == id));
        if let Some(rule) = rule.filter(|rule| rule.applies_to(tenant)) {
            return Ok(Found::Rule(Box::new(rule.clone())));
        }
        let system = self.system()?.into_iter().find(|status| status.name == id);
        system.map(|status| Found::System(Box::new(status))).ok_or(StaticPolicyError::NotFound)
    }

    /// The last versions of what stands under an id, the newest first; of a policy of the folder none are kept.
    pub async fn versions(&self, tenant: &str, id: &str) -> Result<(String, Vec<Version>)> {
        match self.find(tenant, id)? {
            Found::System(status) => Ok((status.name, Vec::new())),
            Found::Rule(rule) => {
                let (folder, since) = (self.folder()?, self.since);
                let id = rule.id.clone();
                let versions = tokio::task::spawn_blocking(move || folder.history(&rule, since));
                Ok((id, versions.await.map_err(|_| StaticPolicyError::Internal)?))
            }
        }
    }

    /// Makes a rule for the author's tenant, or for all.
    pub async fn create(self: &Arc<Self>, author: Author, tier: Tier, fields: Fields) -> Result<Rule> {
        let tenants = match tier {
            Tier::Tenant => vec![author.tenant.clone()],
            Tier::Organization if author.role == Role::Admin => Vec::new(),
            Tier::Organization => return Err(StaticPolicyError::Organization),
        };
        // What can be said at once does not wait for its turn.
        fields.check_new()?;
        let by = author.client.clone();
        let edit = move |file: &mut RuleFile| {
            let version = file.create(&fields, &tenants, &by, now())?;
            let rule = version.rule().ok_or(StaticPolicyError::Internal)?;
            Ok(Edit { version: Some((rule.id.clone(), version)), answer: rule, adds: true })
        };
        self.change(author, edit).await
    }

    /// Changes a rule.
    pub async fn update(self: &Arc<Self>, author: Author, id: String, fields: Fields) -> Result<Rule> {
        fields.check()?;
        self.changeable(&author, &id)?;
        let adds = fields.pattern.is_some() || fields.enabled == Some(true);
        let who = author.clone();
        let edit = move |file: &mut RuleFile| {
            let id = own(file, &who, &id)?;
            let version = file.update(&id, &fields, &who.client, now())?.ok_or(StaticPolicyError::NotFound)?;
            let rule = version.rule().ok_or(StaticPolicyError::Internal)?;
            Ok(Edit { version: Some((rule.id.clone(), version)), answer: rule, adds })
        };
        self.change(author, edit).await
    }

    /// Takes a rule away.
    pub async fn delete(self: &Arc<Self>, author: Author, id: String) -> Result<()> {
        self.changeable(&author, &id)?;
        let who = author.clone();
        let edit = move |file: &mut RuleFile| {
            let id = own(file, &who, &id)?;
            file.delete(&id).ok_or(StaticPolicyError::NotFound)?;
            Ok(Edit { answer: (), version: None, adds: false })
        };
        self.change(author, edit).await
    }

    /// Whether the author could change what stands under an id, as far as that can be told before it is its turn.
    fn changeable(&self, author: &Author, id: &str) -> Result<()> {
        match self.find(&author.tenant, id)? {
            Found::Rule(rule) => may_change(&rule, author),
            Found::System(_) => Err(StaticPolicyError::System),
        }
    }

    fn folder(&self) -> Result<Folder> {
        Ok(Folder::of(self.host.directory())?)
    }

    fn file(&self) -> Result<PathBuf> {
        Ok(self.folder()?.file().to_owned())
    }

    /// How the file's policy fares.
    fn status(&self) -> Result<Option<PolicyStatus>> {
        let file = self.file()?;
        Ok(self.host.statuses().iter().find(|status| status.path == file).cloned())
    }

    /// All rules in force; of a file that never was, those that it holds, if that can be told.
    fn in_force(&self) -> Result<Arc<Vec<Rule>>> {
        let Some(status) = self.status()? else { return Ok(Arc::default()) };
        let Some(manifest) = status.manifest else {
            let code = status.error.map_or("", |error| error.code.as_str());
            return Err(StaticPolicyError::Conflict(format!(
                "{} cannot be read ({code}); the gateway's log says more",
                rules::FILE
            )));
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = &*seen
            && Arc::ptr_eq(&seen.manifest, &manifest)
        {
            return Ok(seen.rules.clone());
        }
        let rules = Arc::new(RuleFile::rules_in(&manifest.settings));
        *seen = Some(Seen { manifest, rules: rules.clone() });
        Ok(rules)
    }

    /// One change, from the file to what is in force.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        author: Author,
        edit: impl FnOnce(&mut RuleFile) -> Result<Edit<T>> + Send + 'static,
    ) -> Result<T> {
        if self.tasks.is_closed() {
            return Err(StaticPolicyError::ShuttingDown);
        }
        let this = self.clone();
        let work = self.tasks.spawn(async move {
            let _turn = tokio::time::timeout(TURN, this.turn.lock()).await.map_err(|_| StaticPolicyError::Busy)?;
            this.changed(author, edit).await
        });
        work.await.unwrap_or(Err(StaticPolicyError::Internal))
    }

    async fn changed<T: Send + 'static>(
        &self,
        author: Author,
        edit: impl FnOnce(&mut RuleFile) -> Result<Edit<T>> + Send + 'static,
    ) -> Result<T> {
        let folder = self.folder()?;
        let at = folder.clone();
        let (before, file, edit) = blocking(move || {
            let before = at.read()?;
            let mut file = before.as_deref().map_or_else(|| Ok(RuleFile::new()), RuleFile::parse)?;
            if file.is_off() {
                let problem = format!("{} says `mode: off`; no policy in it is in force", rules::FILE);
                return Err(StaticPolicyError::Conflict(problem));
            }
            let edit = edit(&mut file)?;
            Ok((before, file, edit))
        })
        .await?;
        let text = file.text()?;
        let made = folder.make()?;
        let candidate = match self.tried(&author, &folder, &before, &text, edit.adds).await {
            Ok(candidate) => candidate,
            Err(error) => {
                if made {
                    folder.unmake();
                }
                return Err(error);
            }
        };
        self.write(&folder, Some(text)).await?;
        self.come_into_force(&folder, &candidate, before).await?;
        if let Some((id, version)) = edit.version.clone() {
            tracing::info!(id, change = version.change.as_str(), client = author.client, "static policy changed");
        } else {
            tracing::info!(client = author.client, "static policy deleted");
        }
        let kept = blocking(move || {
            if let Some((id, version)) = edit.version
                && let Err(error) = folder.remember(&id, version)
            {
                tracing::warn!(%error, "a version of a static policy is in force, but not in its history");
            }
            folder.forget_others(file.rules());
            Ok(edit.answer)
        });
        kept.await
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
        let candidate = loaded.map_err(|error| match error {
            CandidateError::Busy => StaticPolicyError::Busy,
            CandidateError::Load(error) => self.not_loaded(&error, before.as_deref()),
        })?;
        if adds {
            let context = Context {
                surface: Surface::Gateway,
                request_type: "chat".into(),
                client: author.client.clone(),
                tenant: author.tenant.clone(),
                user: None,
                providers: Vec::new(),
                model: None,
                attributes: Vec::new(),
            };
            let messages = vec![Message::text(Speaker::User, trial::ordinary_text())];
            self.host.try_candidate(&candidate, Question::PreCheck, context, messages).await?;
        }
        Ok(candidate)
    }

    /// Whose fault it is that a version cannot be loaded: the change's, if what stands in the file is in force.
    fn not_loaded(&self, error: &LoadError, before: Option<&str>) -> StaticPolicyError {
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
        let in_force = before.is_none_or(|text| {
            let manifest = Manifest::parse(text, rules::FILE).ok();
            let status = self.status().ok().flatten();
            manifest.zip(status).is_some_and(|(manifest, status)| {
                status.state == PolicyState::Live && status.manifest.is_some_and(|live| *live == manifest)
            })
        });
        let problem = error.message.as_str();
        if !in_force {
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

    async fn write(&self, folder: &Folder, text: Option<String>) -> Result<()> {
        let folder = folder.clone();
        blocking(move || Ok(folder.write(text.as_deref())?)).await
    }

    /// Reloads, and puts the file back if the candidate is not in force then.
    async fn come_into_force(&self, folder: &Folder, candidate: &Candidate, before: Option<String>) -> Result<()> {
        let reloaded = self.host.reload().await;
        if reloaded.is_ok() && self.host.is_in_force(candidate) {
            return Ok(());
        }
        let why = match reloaded {
            Err(error) => error.to_string(),
            Ok(_) => match self.status()?.and_then(|status| status.error) {
                Some(error) => format!("{}, {}", error.step.as_str(), error.code.as_str()),
                None => "the file was changed meanwhile".to_owned(),
            },
        };
        tracing::error!(why, "a change of the static policies did not come into force; the file is put back");
        self.write(folder, before).await?;
        if let Err(error) = self.host.reload().await {
            tracing::error!(%error, "the policies directory cannot be read; the policies in force stay");
        }
        Err(StaticPolicyError::Unavailable(format!("the change did not come into force ({why}) and was taken back")))
    }
}

/// The id of a rule of the file that the author may change.
fn own(file: &RuleFile, author: &Author, id: &str) -> Result<String> {
    // What the caller saw may have been deleted meanwhile.
    let rule = file.find(id).filter(|rule| rule.applies_to(&author.tenant)).ok_or(StaticPolicyError::NotFound)?;
    may_change(rule, author)?;
    Ok(rule.id.clone())
}

fn may_change(rule: &Rule, author: &Author) -> Result<()> {
    let may = rule.tier() == Tier::Tenant || author.role == Role::Admin;
    if may { Ok(()) } else { Err(StaticPolicyError::Organization) }
}

/// Now, to the millisecond.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StaticPolicyError::Internal))
}
