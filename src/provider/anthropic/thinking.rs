//! How long a model of Anthropic's is to think. Older ones are given a budget of tokens, newer ones an effort; the answer
//! and the thinking before it share `max_tokens`.

use serde::Serialize;

use super::model::{Model, Thinking};
use crate::chat::ReasoningEffort;

/// The smallest budget that is taken.
const LEAST_BUDGET: u32 = 1024;

/// The bound of an answer when nobody gave one: the API wants one. Every model since the third generation takes it.
const ANSWER: u32 = 4096;

/// The same for models that think within it.
const THOUGHTFUL_ANSWER: u32 = 16_384;

/// What surrounds the question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// What the caller, or the operator, allows.
    pub(super) max_tokens: Option<u32>,
    /// The model is to call a tool, whatever it thinks.
    pub(super) forced: bool,
    /// The model goes on with an answer whose thoughts did not come back.
    pub(super) continues: bool,
}

/// What is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) max_tokens: u32,
    pub(super) thinking: Option<Wire>,
    pub(super) effort: Option<&'static str>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Wire {
    Enabled { budget_tokens: u32 },
    Disabled,
    Adaptive { display: Display },
}

/// What the caller sees of the thoughts.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Display {
    /// Models since 4.7 show nothing unless they are told to: whoever asks for an effort wants to read what came of it.
    Summarized,
}

impl Plan {
    /// Whether the model was told to think.
    pub(super) fn thinks(&self) -> bool {
        matches!(self.thinking, Some(Wire::Enabled { .. } | Wire::Adaptive { .. }))
    }
}

/// What to send for the effort that was asked for.
pub(super) fn plan(
    asked: Option<ReasoningEffort>,
    model: Model,
    given: Circumstances,
    notes: &mut Vec<String>,
) -> Plan {
    let usual = if model.thinking() == Thinking::Effort { THOUGHTFUL_ANSWER } else { ANSWER };
    let mut plan = Plan { max_tokens: given.max_tokens.unwrap_or(usual), thinking: None, effort: None };
    let Some(asked) = asked else { return plan };
    match model.thinking() {
        Thinking::None if asked == ReasoningEffort::None => {}
        Thinking::None => notes.push("reasoning_effort left out, which the model does not take".to_owned()),
        Thinking::Budget => match budget(asked, given) {
            Ok(None) => {}
            Ok(Some(budget_tokens)) => {
                plan.thinking = Some(Wire::Enabled { budget_tokens });
                plan.max_tokens = given.max_tokens.unwrap_or(ANSWER + budget_tokens);
            }
            Err(why) => notes.push(format!("reasoning_effort left out: {why}")),
        },
        Thinking::Effort if asked == ReasoningEffort::None => {
            if model.thinks_unasked() && model.can_be_told_not_to_think() {
                plan.thinking = Some(Wire::Disabled);
            } else if model.thinks_unasked() {
                plan.effort = Some("low");
                notes.push("reasoning_effort none sent as low: the model always thinks".to_owned());
            }
        }
        Thinking::Effort => {
            plan.effort = Some(effort(asked, model));
            // Thinking that was asked for and a forced tool exclude each other; the effort holds with both.
            plan.thinking = (!given.forced).then_some(Wire::Adaptive { display: Display::Summarized });
        }
    }
    plan
}

fn effort(asked: ReasoningEffort, model: Model) -> &'static str {
    match asked {
        ReasoningEffort::None | ReasoningEffort::Minimal | ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::Xhigh if model.takes_xhigh() => "xhigh",
        ReasoningEffort::High | ReasoningEffort::Xhigh => "high",
        ReasoningEffort::Max => "max",
    }
}

/// The budget, half of `max_tokens` at most, so that an answer is left; nothing where no thinking is wanted.
fn budget(asked: ReasoningEffort, given: Circumstances) -> Result<Option<u32>, &'static str> {
    let wanted = match asked {
        ReasoningEffort::None => return Ok(None),
        ReasoningEffort::Minimal | ReasoningEffort::Low => LEAST_BUDGET,
        ReasoningEffort::Medium => 2048,
        ReasoningEffort::High => 4096,
        ReasoningEffort::Xhigh => 8192,
        ReasoningEffort::Max => 16_384,
    };
    if given.forced {
        return Err("the model does not think where a tool is forced");
    }
    if given.continues {
        return Err("the model goes on with an answer whose reasoning is not kept");
    }
    let budget = given.max_tokens.map_or(wanted, |max_tokens| wanted.min(max_tokens / 2));
    if budget < LEAST_BUDGET {
        return Err("max_tokens leaves no room for it");
    }
    Ok(Some(budget))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_is_told_in_its_own_way() {
        use ReasoningEffort as Effort;
        let free = Circumstances { max_tokens: None, forced: false, continues: false };
        let bound = |max_tokens| Circumstances { max_tokens: Some(max_tokens), ..free };
        let forced = Circumstances { forced: true, ..free };
        let continues = Circumstances { continues: true, ..free };
        let enabled = |budget_tokens| Some(Wire::Enabled { budget_tokens });
        let adaptive = || Some(Wire::Adaptive { display: Display::Summarized });
        for (model, asked, given, max_tokens, thinking, effort, notes) in [
            ("claude-3-5-haiku-20241022", None, free, 4096, None, None, 0),
            ("claude-3-5-haiku-20241022", Some(Effort::High), free, 4096, None, None, 1),
            ("claude-3-5-haiku-20241022", Some(Effort::None), bound(7), 7, None, None, 0),
            ("claude-sonnet-4-5", Some(Effort::Medium), free, 6144, enabled(2048), None, 0),
            ("claude-sonnet-4-5", Some(Effort::Medium), bound(3000), 3000, enabled(1500), None, 0),
            ("claude-sonnet-4-5", Some(Effort::Low), bound(2000), 2000, None, None, 1),
            ("claude-sonnet-4-5", Some(Effort::None), free, 4096, None, None, 0),
            ("claude-sonnet-4-5", Some(Effort::High), forced, 4096, None, None, 1),
            ("claude-sonnet-4-5", Some(Effort::High), continues, 4096, None, None, 1),
            ("claude-sonnet-4-6", Some(Effort::Xhigh), free, 16_384, adaptive(), Some("high"), 0),
            ("claude-sonnet-4-6", Some(Effort::None), free, 16_384, None, None, 0),
            ("claude-opus-4-8", Some(Effort::Xhigh), bound(9), 9, adaptive(), Some("xhigh"), 0),
            ("claude-opus-4-8", Some(Effort::Minimal), forced, 16_384, None, Some("low"), 0),
            ("claude-opus-5", Some(Effort::None), free, 16_384, Some(Wire::Disabled), None, 0),
            ("claude-haiku-5-5", Some(Effort::None), free, 16_384, Some(Wire::Disabled), None, 0),
            ("claude-opus-5-5", Some(Effort::None), free, 16_384, None, Some("low"), 1),
            ("claude-fable-5", Some(Effort::Max), continues, 16_384, adaptive(), Some("max"), 0),
        ] {
            let mut noted = Vec::new();
            let plan = plan(asked, Model::named(model), given, &mut noted);
            assert_eq!(plan, Plan { max_tokens, thinking, effort }, "{model} {asked:?} {given:?}");
            assert_eq!(noted.len(), notes, "{model} {asked:?}: {noted:?}");
        }
    }
}
