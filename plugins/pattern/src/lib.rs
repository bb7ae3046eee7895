//! Rules without code: named regular expressions and keywords, from a manifest's settings.
//!
//! An evaluation looks for short rows of characters that the rules' matches must contain ([`sieve`]), all at once, and
//! tries a rule's expression only where its row stands. Rules of a tenant are arranged by themselves ([`rules`]): for
//! other tenants they are not even looked for. Expressions run in time that is linear in the text.

mod class;
mod expression;
mod factor;
mod keyword;
mod probe;
mod reach;
mod report;
mod rule;
mod rules;
mod settings;
mod settle;
mod shares;
mod sieve;
#[cfg(test)]
mod tests;

use octroi_policy::prelude::*;

use expression::Scratch;
use report::Report;
use rules::Rules;
pub use settings::{Asked, PatternSettings, Settings, Shares};

/// The policy.
#[derive(Debug)]
pub enum Pattern {
    /// Judges by rules.
    Judging(Box<Judge>),
    /// Tries the expression that comes with a request.
    Probing,
}

/// The rules in force.
#[derive(Debug)]
pub struct Judge(Rules);

impl Policy for Pattern {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        match settings {
            Settings { probe: true, patterns, .. } if patterns.is_empty() => Ok(Self::Probing),
            Settings { probe: true, .. } => Err("settings.patterns: must be empty when `probe` is true".into()),
            Settings { patterns, shares, .. } => {
                let judge = Box::new(Judge(Rules::new(patterns, shares)?));
                settle::settle();
                Ok(Self::Judging(judge))
            }
        }
    }

    fn describe(&self) -> Description {
        let description = Description::new("pattern", env!("CARGO_PKG_VERSION"), "Expressions and keywords");
        let Self::Judging(judge) = self else { return description };
        judge.0.iter().fold(description, |description, rule| {
            let summary = if rule.expression.is_some() { "Regular expression" } else { "Keywords" };
            description.rule(&rule.name, &rule.category, summary)
        })
    }
}

impl PreCheck for Pattern {
    fn pre_check(&self, context: &Context, messages: &[Message]) -> Verdict {
        match self {
            Self::Judging(judge) => judge.judge(Asked::PreCheck, context, messages),
            Self::Probing => probe::probe(context, messages),
        }
    }
}

impl Response for Pattern {
    fn response(&self, context: &Context, answer: &Answer) -> Verdict {
        match self {
            Self::Judging(judge) => judge.judge(Asked::Response, context, &answer.choices),
            Self::Probing => Verdict::allow(),
        }
    }
}

impl Judge {
    fn judge(&self, asked: Asked, context: &Context, messages: &[Message]) -> Verdict {
        let (mut report, mut scratch) = (Report::new(&self.0), Scratch::default());
        let tenant = &context.caller.tenant;
        for text in texts(messages) {
            report.add(&text, &self.0.search_both(&text, tenant, asked, &mut scratch));
        }
        for (role, name) in names(messages) {
            report.add_name(&self.0.search(name, role, tenant, asked, &mut scratch));
        }
        report.verdict()
    }
}

octroi_policy::export!(Pattern: PreCheck + Response);
