//! The policies in force: immutable, numbered, held by a request for its whole life.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Context;
use super::component::Question;
use super::digest::Digest;
use super::limits::Budget;
use super::load::LoadError;
use super::load::worker::Version;
use super::manifest::{Manifest, Mode, Name, OnError, Phase};
use super::tally::Tally;

/// The number of a set. A swap makes the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl std::fmt::Display for Generation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Which policy it is, as records say it: written when it is loaded, and not again for each evaluation.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// The policy's name.
    pub policy: Arc<str>,
    /// Digest of component, settings and cases; empty when it is not live.
    pub version: Arc<str>,
    /// Digest of the settings; empty when it is not live.
    pub settings_hash: Arc<str>,
}

/// A policy that is in force, or ready to be.
#[derive(Clone, Debug)]
pub struct LivePolicy {
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// Its version, ready to judge.
    pub version: Version,
    /// What its manifest allows one evaluation.
    pub(super) budget: Budget,
    /// Digest of its settings.
    pub settings_hash: Digest,
    /// What this version said since it went live.
    pub tally: Arc<Tally>,
    /// The same name and digests, as records have them.
    pub label: Label,
}

impl LivePolicy {
    /// A version that has said nothing yet.
    pub(super) fn new(manifest: Manifest, version: Version) -> Arc<Self> {
        let tally = Arc::new(Tally::new(manifest.name.clone()));
        Self::counted_on(manifest, version, tally)
    }

    /// A version that was live before.
    pub(super) fn counted_on(manifest: Manifest, version: Version, tally: Arc<Tally>) -> Arc<Self> {
        let settings_hash = manifest.settings_hash();
        let label = Label {
            policy: manifest.name.as_str().into(),
            version: version.id.to_string().into(),
            settings_hash: settings_hash.to_string().into(),
        };
        let budget = manifest.limits.budget();
        Arc::new(Self { manifest: Arc::new(manifest), version, budget, settings_hash, tally, label })
    }

    /// Whether it is asked about a request at this moment. One that is off never goes live.
    pub fn applies(&self, phase: Phase, context: &Context) -> bool {
        self.answers(phase) && self.manifest.scope.covers(context)
    }

    /// Whether it exports this interface, and its manifest does not leave it out.
    pub fn answers(&self, phase: Phase) -> bool {
        self.version.ready.answers(phase) && self.manifest.asks(phase)
    }

    /// The phases in which it is asked.
    pub fn phases(&self) -> Vec<Phase> {
        Phase::ALL.into_iter().filter(|phase| self.answers(*phase)).collect()
    }

    /// Whether it is what loading this version under this manifest would give.
    pub(super) fn is_ready_as(&self, version: &Digest, manifest: &Manifest) -> bool {
        self.version.id == *version
            && self.manifest.limits == manifest.limits
            && self.manifest.capabilities == manifest.capabilities
            && self.version.ready.check_phases(manifest.phases.as_ref()).is_ok()
    }

    /// Whether another one would decide as this one does.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.version.id == other.version.id && self.manifest == other.manifest
    }
}

/// A policy that has never been live since the gateway started.
#[derive(Clone, Debug)]
pub struct BrokenPolicy {
    /// The manifest's path.
    pub path: PathBuf,
    /// The manifest's name, or the file's where the manifest cannot be read or another one has its name.
    pub name: String,
    /// The manifest, where it can be read: it says what the policy applies to and what happens without it.
    pub manifest: Option<Arc<Manifest>>,
    /// Why it is not live.
    pub error: LoadError,
}

impl BrokenPolicy {
    /// Whether requests that it applies to are refused.
    pub fn refuses(&self) -> bool {
        self.manifest.as_ref().is_none_or(|it| it.mode == Mode::Enforce && it.on_error == OnError::Deny)
    }
}

/// One place in a set.
#[derive(Clone, Debug)]
pub enum Member {
    /// In force.
    Live(Arc<LivePolicy>),
    /// Not in force, on a cold start.
    Broken(Arc<BrokenPolicy>),
}

impl Member {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Live(policy) => policy.manifest.name.as_str(),
            Self::Broken(policy) => &policy.name,
        }
    }

    fn order(&self) -> i32 {
        match self {
            Self::Live(policy) => policy.manifest.order,
            Self::Broken(policy) => policy.manifest.as_ref().map_or(i32::MIN, |it| it.order),
        }
    }

    /// Whether the set is the same with the other one in its place.
    fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Live(one), Self::Live(two)) => one.same_as(two),
            (Self::Broken(one), Self::Broken(two)) => {
                let why = |policy: &BrokenPolicy| (policy.error.step, policy.error.code);
                one.name == two.name && one.manifest == two.manifest && why(one) == why(two)
            }
            _ => false,
        }
    }
}

/// The policies in force at one time.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    generation: Generation,
    members: Vec<Member>,
    missing: Vec<Missing>,
}

/// A required policy that is not live and in `enforce`.
#[derive(Clone, Debug)]
struct Missing {
    name: Name,
    /// What it would apply to, where that is known; else everything.
    manifest: Option<Arc<Manifest>>,
    /// Whether it would judge what is kept, or nobody knows.
    may_audit: bool,
}

impl PolicySet {
    /// A set in the order in which policies run. `required` are those without which requests are refused.
    pub fn new(generation: Generation, mut members: Vec<Member>, required: &[Name]) -> Self {
        members.sort_by(|one, two| one.order().cmp(&two.order()).then_with(|| one.name().cmp(two.name())));
        let missing = required
            .iter()
            .filter_map(|name| {
                let named = |member: &&Member| member.name() == name.as_str();
                let live = members.iter().find(|member| matches!(member, Member::Live(_)) && named(member));
                let (manifest, exports_audit) = match live.or_else(|| members.iter().find(named)) {
                    Some(Member::Live(policy)) if policy.manifest.mode == Mode::Enforce => return None,
                    Some(Member::Live(policy)) => {
                        (Some(policy.manifest.clone()), policy.version.ready.answers(Phase::Audit))
                    }
                    // One with a name that is taken is called by its file's, and is another's policy.
                    Some(Member::Broken(policy)) => (policy.manifest.clone().filter(|it| it.name == *name), true),
                    None => (None, true),
                };
                let may_audit = exports_audit && manifest.as_ref().is_none_or(|it| it.asks(Phase::Audit));
                Some(Missing { name: name.clone(), manifest, may_audit })
            })
            .collect();
        Self { generation, members, missing }
    }

    /// Its number.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// In the order in which they run.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Required policies that are not live and in `enforce`.
    pub fn missing(&self) -> impl Iterator<Item = &Name> {
        self.missing.iter().map(|it| &it.name)
    }

    /// The first required policy that is not in force and without which the answer is no: a request that it would have
    /// seen is refused before the model is asked, and text that it might have masked is not kept.
    pub fn missing_for(&self, question: Question, context: &Context) -> Option<&Name> {
        let asks = |missing: &&Missing| match question {
            Question::PreCheck => true,
            Question::Response => false,
            Question::Audit(_) => missing.may_audit,
        };
        self.missing
            .iter()
            .filter(asks)
            .find(|it| it.manifest.as_ref().is_none_or(|manifest| manifest.scope.covers(context)))
            .map(|it| &it.name)
    }

    /// Those that are live.
    pub fn live(&self) -> impl Iterator<Item = &Arc<LivePolicy>> {
        self.members.iter().filter_map(|member| match member {
            Member::Live(policy) => Some(policy),
            Member::Broken(_) => None,
        })
    }

    /// Those that are not, since the start.
    pub(super) fn broken(&self) -> impl Iterator<Item = &Arc<BrokenPolicy>> {
        self.members.iter().filter_map(|member| match member {
            Member::Broken(policy) => Some(policy),
            Member::Live(_) => None,
        })
    }

    /// Whether another set would decide as this one does.
    pub fn same_as(&self, other: &Self) -> bool {
        self.members.len() == other.members.len()
            && self.members.iter().zip(&other.members).all(|(one, two)| one.same_as(two))
            && self.missing().eq(other.missing())
    }
}
