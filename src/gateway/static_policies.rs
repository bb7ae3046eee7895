//! Static policies: rules that applications make while the gateway runs.
//!
//! A change goes through these steps, one change at a time and of all tenants in turn, and in a task of its own: a caller
//! who goes away leaves no half of it behind.
//!
//! ```text
//! read the file -> change it -> load that version -> try it -> write the file -> reload -> in force -> keep the history
//! ```
//!
//! Nothing is written before the version is loaded and tried: an expression that is refused changes nothing. If it does
//! not come into force all the same, the file is put back. What is shown is what is in force, so that a file that
//! somebody broke by hand hides nothing.

mod change;
mod error;
pub mod rules;
mod trial;

use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::audit::AuditLog;
use crate::config::Role;
use crate::line::Line;
use crate::policy::manifest::Manifest;
use crate::policy::{Candidate, PolicyHost, PolicyStatus};
use change::{Edit, Outcome, blocking};
use rules::{Fields, Folder, Rule, RuleFile, Tier, Version};

pub use error::StaticPolicyError;
pub use trial::{Match, Trial};

/// How long a change, or a trial, waits for those before it.
const TURN: Duration = Duration::from_secs(20);
/// How long one version may take to load. Clients wait 30 s (TypeScript) and 60 s (others) for an answer.
const LOAD: Duration = Duration::from_secs(60);
/// Trials at one time: each may keep a place of the slow lane for seconds, and requests need them too.
const TRIALS: usize = 2;

/// The static policies.
#[derive(Debug)]
pub struct StaticPolicies {
    host: Arc<PolicyHost>,
    /// Where it is recorded who changes what.
    audit: AuditLog,
    tasks: TaskTracker,
    changes: Line,
    trials: Line,
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
    /// `Admin` also changes those of all, and sees, disables and deletes those of other tenants.
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

type Result<T> = std::result::Result<T, StaticPolicyError>;

impl StaticPolicies {
    pub(super) fn new(host: Arc<PolicyHost>, audit: AuditLog, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            host,
            audit,
            tasks,
            changes: Line::new(1, TURN),
            trials: Line::new(TRIALS, TURN),
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
    pub fn system(&self) -> Vec<PolicyStatus> {
        let file = self.file();
        self.host.statuses().iter().filter(|status| status.path != file).cloned().collect()
    }

    /// What the author may see under an id.
    pub fn find(&self, author: &Author, id: &str) -> Result<Found> {
        let rules = self.in_force()?;
        let rule = rules.iter().find(|rule| rule.id == id).or_else(|| rules.iter().find(|rule| rule.name == id));
        if let Some(rule) = rule.filter(|rule| author.sees(rule)) {
            return Ok(Found::Rule(Box::new(rule.clone())));
        }
        let system = self.system().into_iter().find(|status| status.name == id);
        system.map(|status| Found::System(Box::new(status))).ok_or(StaticPolicyError::NotFound)
    }

    /// The last versions of what stands under an id, the newest first; of a policy of the folder none are kept.
    pub async fn versions(&self, author: &Author, id: &str) -> Result<(String, Vec<Version>)> {
        match self.find(author, id)? {
            Found::System(status) => Ok((status.name, Vec::new())),
            Found::Rule(rule) => {
                let (directory, since) = (self.host.directory().to_owned(), self.since);
                let id = rule.id.clone();
                let versions = blocking(move || Ok(Folder::of(&directory)?.history(&rule, since)));
                Ok((id, versions.await?))
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
            Ok(Edit { id: rule.id.clone(), outcome: Outcome::Version(version), answer: rule, adds: true })
        };
        self.change(author, edit).await
    }

    /// Changes a rule. If it is so already nothing is written, recorded or loaded.
    pub async fn update(self: &Arc<Self>, author: Author, id: String, fields: Fields) -> Result<Rule> {
        fields.check()?;
        let wanted = Wanted::of(&fields);
        self.changeable(&author, &id, wanted)?;
        let adds = fields.pattern.is_some() || fields.phases.is_some() || fields.enabled == Some(true);
        let who = author.clone();
        let edit = move |file: &mut RuleFile| {
            let id = own(file, &who, &id, wanted)?;
            let version = file.update(&id, &fields, &who.client, now())?;
            let outcome = version.map_or(Outcome::Same, Outcome::Version);
            let rule = file.find(&id).cloned().ok_or(StaticPolicyError::NotFound)?;
            Ok(Edit { id, outcome, answer: rule, adds })
        };
        self.change(author, edit).await
    }

    /// Takes a rule away.
    pub async fn delete(self: &Arc<Self>, author: Author, id: String) -> Result<()> {
        self.changeable(&author, &id, Wanted::Less)?;
        let who = author.clone();
        let edit = move |file: &mut RuleFile| {
            let id = own(file, &who, &id, Wanted::Less)?;
            file.delete(&id).ok_or(StaticPolicyError::NotFound)?;
            Ok(Edit { answer: (), id, outcome: Outcome::Gone, adds: false })
        };
        self.change(author, edit).await
    }

    /// Whether the author could change what stands under an id, as far as that can be told before it is its turn.
    fn changeable(&self, author: &Author, id: &str, wanted: Wanted) -> Result<()> {
        match self.find(author, id)? {
            Found::Rule(rule) => author.may_change(&rule, wanted),
            Found::System(_) => Err(StaticPolicyError::System),
        }
    }

    /// The file, as the policy host names it.
    fn file(&self) -> PathBuf {
        self.host.directory().join(rules::FILE)
    }

    /// How the policy fares that all rules are of; `None` if there is no file.
    pub fn status(&self) -> Option<PolicyStatus> {
        let file = self.file();
        self.host.statuses().iter().find(|status| status.path == file).cloned()
    }

    /// All rules in force; of a file that never was, those that it holds, if that can be told.
    fn in_force(&self) -> Result<Arc<Vec<Rule>>> {
        let Some(status) = self.status() else { return Ok(Arc::default()) };
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
}

/// What is to become of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// It is looked for no longer: disabled, or taken away.
    Less,
    /// Anything else.
    Change,
}

impl Wanted {
    fn of(fields: &Fields) -> Self {
        let disabled = Fields { enabled: Some(false), ..Fields::default() };
        if *fields == disabled { Self::Less } else { Self::Change }
    }
}

impl Author {
    fn sees(&self, rule: &Rule) -> bool {
        self.role == Role::Admin || rule.applies_to(&self.tenant)
    }

    fn may_change(&self, rule: &Rule, wanted: Wanted) -> Result<()> {
        match (rule.tier(), self.role) {
            (Tier::Tenant, _) if rule.applies_to(&self.tenant) => Ok(()),
            (Tier::Tenant, _) if wanted == Wanted::Less => Ok(()),
            (Tier::Tenant, _) => Err(StaticPolicyError::Foreign),
            (Tier::Organization, Role::Admin) => Ok(()),
            (Tier::Organization, _) => Err(StaticPolicyError::Organization),
        }
    }
}

/// The id of a rule of the file that the author may change.
fn own(file: &RuleFile, author: &Author, id: &str, wanted: Wanted) -> Result<String> {
    // What the caller saw may have been deleted meanwhile.
    let rule = file.find(id).filter(|rule| author.sees(rule)).ok_or(StaticPolicyError::NotFound)?;
    author.may_change(rule, wanted)?;
    Ok(rule.id.clone())
}

/// Now, to the millisecond.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
