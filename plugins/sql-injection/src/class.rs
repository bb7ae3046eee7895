//! The classes of injection.

use octroi_policy::Severity;
use serde::Deserialize;

/// The category of every finding.
pub const CATEGORY: &str = "sql-injection";

/// A class of injection. The names in settings and findings are those of [`Class::id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Class {
    /// `UNION SELECT` that adds an attacker's rows to a query's.
    UnionBased,
    /// A second statement behind the first one's end.
    StackedQuery,
    /// A condition that is always true or always false.
    BooleanBased,
    /// A comment mark that cuts the rest of a query off, or that breaks up a keyword.
    Comment,
    /// A delay whose length is the answer.
    TimeBased,
    /// A statement that destroys data or opens the server, also as a plain command.
    Destructive,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::UnionBased, Self::StackedQuery, Self::BooleanBased, Self::Comment, Self::TimeBased, Self::Destructive];

    /// The name in settings and findings.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::UnionBased => "union-based",
            Self::StackedQuery => "stacked-query",
            Self::BooleanBased => "boolean-based",
            Self::Comment => "comment",
            Self::TimeBased => "time-based",
            Self::Destructive => "destructive",
        }
    }

    /// What it is, for people, in the middle of a sentence.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::UnionBased => "UNION SELECT with foreign columns",
            Self::StackedQuery => "further statement behind a query",
            Self::BooleanBased => "condition that is always true or false",
            Self::Comment => "comment that cuts off or hides SQL",
            Self::TimeBased => "time delay in a condition",
            Self::Destructive => "statement that destroys data",
        }
    }

    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::UnionBased | Self::StackedQuery | Self::Destructive => Severity::Critical,
            Self::BooleanBased | Self::TimeBased => Severity::High,
            Self::Comment => Severity::Medium,
        }
    }
}

/// By its id, as a text: an enum's name as a key of a map is lost to the path in an error.
impl TryFrom<String> for Class {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::ALL.into_iter().find(|class| class.id() == name).ok_or_else(|| {
            let known = Self::ALL.map(|class| format!("`{}`", class.id())).join(", ");
            format!("unknown rule `{name}`, expected one of {known}")
        })
    }
}
