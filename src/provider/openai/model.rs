//! What a model of OpenAI's takes, as its name tells.
//!
//! From OpenAI's reference, its guides to reasoning and to the GPT-5 models, and what its API answers, as of November 2026.
//! A name that tells nothing is taken for a model that does not reason.

use crate::chat::ReasoningEffort;

/// How a model reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reasoning {
    Never,
    Always,
    /// Unless its effort is `none`.
    UnlessNone,
    /// Only with an effort.
    WithEffort,
}

/// What a name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    reasoning: Reasoning,
    stops: bool,
    parallel_calls: bool,
}

impl Model {
    /// One of which nothing is known.
    pub(super) const PLAIN: Self = Self { reasoning: Reasoning::Never, stops: true, parallel_calls: true };

    /// Reads a name such as `gpt-5.2-mini`, `o4-mini-2025-04-16` or `ft:o4-mini:acme::x`.
    pub(super) fn named(name: &str) -> Self {
        let name = name.strip_prefix("ft:").unwrap_or(name);
        if let Some(version) = name.strip_prefix('o').filter(|rest| rest.starts_with(|it: char| it.is_ascii_digit())) {
            let stops = version.starts_with('1') || version.starts_with("3-mini");
            return Self { reasoning: Reasoning::Always, stops, parallel_calls: false };
        }
        match name.strip_prefix("gpt-").and_then(version) {
            Some((version, variant)) if version >= (5, 0) => {
                let varies = |word: &str| variant.split('-').any(|it| it == word);
                let reasoning = match version {
                    (5, 0) if varies("chat") => return Self::PLAIN,
                    (5, 0) => Reasoning::Always,
                    _ if ["chat", "pro", "codex"].into_iter().any(varies) => Reasoning::Always,
                    (5, ..5) => Reasoning::WithEffort,
                    _ => Reasoning::UnlessNone,
                };
                Self { reasoning, stops: false, parallel_calls: true }
            }
            _ => Self::PLAIN,
        }
    }

    /// Whether it reasons at all: then it takes no penalties, nor a bias.
    pub(super) fn reasons(self) -> bool {
        self.reasoning != Reasoning::Never
    }

    /// Whether it takes a temperature and its relatives: not while it reasons.
    pub(super) fn samples(self, effort: Option<ReasoningEffort>) -> bool {
        match (self.reasoning, effort) {
            (Reasoning::Never, _) | (Reasoning::WithEffort, None) => true,
            (Reasoning::Always, _) | (Reasoning::UnlessNone, None) => false,
            (Reasoning::UnlessNone | Reasoning::WithEffort, Some(effort)) => effort == ReasoningEffort::None,
        }
    }

    /// Whether it takes texts at which it stops.
    pub(super) fn stops(self) -> bool {
        self.stops
    }

    /// Whether it can be told to call one tool at a time.
    pub(super) fn takes_parallel_calls(self) -> bool {
        self.parallel_calls
    }
}

/// `5.2-mini` as its version and what stands behind.
fn version(name: &str) -> Option<((u32, u32), &str)> {
    let (number, variant) = name.split_once('-').unwrap_or((name, ""));
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    Some(((major.parse().ok()?, minor.parse().ok()?), variant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_a_model_takes() {
        let (none, low) = (Some(ReasoningEffort::None), Some(ReasoningEffort::Low));
        //                              samples with none, without one, with low; stops, parallel calls
        for (name, takes) in [
            ("gpt-4o", [true, true, true, true, true]),
            ("gpt-4.1-mini-2025-04-14", [true, true, true, true, true]),
            ("gpt-oss-120b", [true, true, true, true, true]),
            ("my-deployment", [true, true, true, true, true]),
            ("omni-moderation-latest", [true, true, true, true, true]),
            ("o1", [false, false, false, true, false]),
            ("o3-mini", [false, false, false, true, false]),
            ("o3", [false, false, false, false, false]),
            ("ft:o4-mini-2025-04-16:acme::x", [false, false, false, false, false]),
            ("gpt-5", [false, false, false, false, true]),
            ("gpt-5-nano-2025-08-07", [false, false, false, false, true]),
            ("gpt-5-chat-latest", [true, true, true, true, true]),
            ("gpt-5.1", [true, true, false, false, true]),
            ("gpt-5.4-mini", [true, true, false, false, true]),
            ("gpt-5.2-pro", [false, false, false, false, true]),
            ("gpt-5.1-codex-max", [false, false, false, false, true]),
            ("gpt-5.5", [true, false, false, false, true]),
            ("gpt-5.6-luna", [true, false, false, false, true]),
            ("gpt-6", [true, false, false, false, true]),
        ] {
            let model = Model::named(name);
            let samples = [none, None, low].map(|effort| model.samples(effort));
            let [first, second, third] = samples;
            assert_eq!([first, second, third, model.stops(), model.takes_parallel_calls()], takes, "{name}");
        }
    }
}
