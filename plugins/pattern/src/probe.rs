//! Trying an expression without making it a rule: what the gateway's API for static policies does with one before it is
//! taken, inside the sandbox and never in the gateway itself.

use octroi_policy::{Context, Finding, Message, Severity, Verdict, texts};

use crate::expression::Grouped;

/// The attribute of the context that holds the expression.
const ATTRIBUTE: &str = "pattern";

/// The category of findings.
const CATEGORY: &str = "probe";

/// The most findings; what is beyond is left out.
const MOST_FINDINGS: usize = 2_000;

/// The most tags, and the longest value of one in bytes, that the gateway takes.
const MOST_TAGS: usize = 64;
const LONGEST_TAG: usize = 1_024;

/// The longest error, in bytes.
const LONGEST_ERROR: usize = 500;

/// Every match of the expression as a finding `match` at its place, and for the first match of each message what its
/// groups took as tags: `group.0.1` is the first group in the first message, and group 0 the whole match. A group that
/// took no part has no tag, and one that took more than 1,024 bytes neither. An expression that is refused is a `deny`
/// with a finding `invalid`; the reason says what is wrong with it.
pub(crate) fn probe(context: &Context, messages: &[Message]) -> Verdict {
    let pattern = context.attributes.iter().find_map(|(name, value)| (name == ATTRIBUTE).then_some(value));
    let expression = pattern
        .ok_or_else(|| format!("the context has no attribute `{ATTRIBUTE}`"))
        .and_then(|pattern| Grouped::new(pattern));
    let expression = match expression {
        Ok(expression) => expression,
        Err(problem) => {
            let problem = &problem[..problem.floor_char_boundary(LONGEST_ERROR)];
            return Verdict::deny(problem).finding(Finding::new("invalid", CATEGORY, Severity::Info));
        }
    };
    let mut verdict = Verdict::allow();
    let mut seen = None;
    for text in texts(messages) {
        for found in expression.search(text.as_str()) {
            let Some(whole) = found.get_match() else { continue };
            if verdict.findings.len() == MOST_FINDINGS {
                return verdict;
            }
            let finding = Finding::new("match", CATEGORY, Severity::Info).at(text.place(whole.range()));
            verdict.findings.push(finding);
            if seen.replace(text.message) == Some(text.message) {
                continue;
            }
            for (number, group) in found.iter().enumerate() {
                let Some(value) = group.and_then(|group| text.get(group.range())) else { continue };
                if verdict.tags.len() < MOST_TAGS && value.len() <= LONGEST_TAG {
                    verdict.tags.push((format!("group.{}.{number}", text.message), value.to_owned()));
                }
            }
        }
    }
    verdict
}
