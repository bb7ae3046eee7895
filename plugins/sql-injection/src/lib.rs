//! Finds SQL injection in requests and, class by class, refuses or reports it.
//!
//! A gateway sees text, not queries: the same words are an attack in a form's field and a question in a chat. The
//! policy therefore looks for what only an attack (or a destructive command) has: a value that is broken out of, a
//! second half of somebody else's query, a comparison of two constants, a statement that destroys. Prose about SQL and
//! plain queries pass. Texts are read as SQL tokens, so that case, white space and comments between words do not
//! matter. Percent-encoding is not undone.

mod boolean;
mod class;
mod comment;
mod destructive;
mod grammar;
mod scan;
mod sentence;
mod settings;
mod stacked;
#[cfg(test)]
mod tests;
mod time;
mod token;
mod union;

use octroi_policy::prelude::*;

pub use class::{CATEGORY, Class};
pub use settings::{RuleSettings, Settings, Source};

/// The policy.
#[derive(Debug)]
pub struct SqlInjection {
    scan: Vec<Source>,
    actions: [Option<Action>; Class::ALL.len()],
}

impl Policy for SqlInjection {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self { actions: settings.actions()?, scan: settings.scan })
    }

    fn describe(&self) -> Description {
        let description = Description::new("sql-injection", env!("CARGO_PKG_VERSION"), "SQL injection in requests");
        let in_force = Class::ALL.into_iter().filter(|class| self.actions[*class as usize].is_some());
        in_force.fold(description, |description, class| description.rule(class.id(), CATEGORY, class.summary()))
    }
}

impl PreCheck for SqlInjection {
    fn pre_check(&self, _: &Context, messages: &[Message]) -> Verdict {
        let mut verdict = Verdict::allow();
        for text in texts(messages).filter(|text| self.scan.contains(&Source::of(text))) {
            let plain = text.plain();
            for (class, place) in Class::ALL.into_iter().zip(scan::find(&plain)) {
                let (Some(place), Some(action)) = (place, self.actions[class as usize]) else { continue };
                if action >= Action::RequireApproval && action > verdict.action {
                    verdict.reason = Some(reason(class));
                }
                verdict.raise(action);
                verdict
                    .findings
                    .push(Finding::new(class.id(), CATEGORY, class.severity()).at(text.place(plain.original(place))));
            }
        }
        verdict
    }
}

/// Names the class, never the text.
fn reason(class: Class) -> String {
    format!("SQL injection attempt detected: {} (pattern: {})", class.summary(), class.id())
}

octroi_policy::export!(SqlInjection: PreCheck);
