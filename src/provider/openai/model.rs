//! What a model of OpenAI's takes, as its name tells.
//!
//! From OpenAI's reference, its guides to reasoning and to the GPT-5 models, and what its API answers, as of November 2026.
//! A name that tells nothing is taken for a model that does not reason.

use crate::chat::ReasoningEffort as Effort;

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
    /// The efforts that it takes, the least first.
    efforts: &'static [Effort],
    stops: bool,
    parallel_calls: bool,
}

impl Model {
    /// One of which nothing is known.
    pub(super) const UNKNOWN: Self = Self {
        reasoning: Reasoning::Never,
        efforts: &[
            Effort::None,
            Effort::Minimal,
            Effort::Low,
            Effort::Medium,
            Effort::High,
            Effort::Xhigh,
            Effort::Max,
        ],
        stops: true,
        parallel_calls: true,
    };

    /// Any of Ollama's, which knows these words alone.
    pub(super) const OLLAMAS: Self =
        Self { efforts: &[Effort::None, Effort::Low, Effort::Medium, Effort::High], ..Self::UNKNOWN };

    /// One that does not reason.
    pub(super) const PLAIN: Self = Self { efforts: &[], ..Self::UNKNOWN };

    /// Reads a name such as `gpt-5.2-mini`, `o4-mini-2025-04-16` or `ft:o4-mini:acme::x`.
    pub(super) fn named(name: &str) -> Self {
        use Effort::{High, Low, Max, Medium, Minimal, None as No, Xhigh};
        let name = name.strip_prefix("ft:").unwrap_or(name);
        if let (family @ ("o1" | "o3" | "o4"), variant) = name.split_once('-').unwrap_or((name, "")) {
            let stops = family == "o1" || family == "o3" && variant.starts_with("mini");
            return Self { reasoning: Reasoning::Always, efforts: &[Low, Medium, High], stops, parallel_calls: false };
        }
        let Some((version, variant)) = name.strip_prefix("gpt-").and_then(version) else { return Self::UNKNOWN };
        let varies = |word: &str| variant.split('-').any(|it| it == word);
        let (reasoning, efforts): (_, &[Effort]) = match version {
            version if version < (5, 0) => return Self::PLAIN,
            (5, 0) if varies("chat") => return Self::PLAIN,
            (5, 0) => (Reasoning::Always, &[Minimal, Low, Medium, High]),
            _ if varies("chat") => (Reasoning::Always, &[Medium]),
            _ if varies("pro") || varies("codex") => (Reasoning::Always, &[Low, Medium, High, Xhigh]),
            (5, 1) => (Reasoning::WithEffort, &[No, Low, Medium, High]),
            (5, ..5) => (Reasoning::WithEffort, &[No, Low, Medium, High, Xhigh]),
            (5, 5) => (Reasoning::UnlessNone, &[No, Low, Medium, High, Xhigh]),
            _ => (Reasoning::UnlessNone, &[No, Low, Medium, High, Xhigh, Max]),
        };
        Self { reasoning, efforts, stops: false, parallel_calls: true }
    }

    /// The effort that it takes for this one: the next higher, else its highest.
    pub(super) fn effort(self, asked: Effort) -> Option<Effort> {
        self.efforts.iter().copied().find(|taken| *taken >= asked).or(self.efforts.last().copied())
    }

    /// Whether it reasons at all: then it takes no penalties, nor a bias.
    pub(super) fn reasons(self) -> bool {
        self.reasoning != Reasoning::Never
    }

    /// Whether it takes a temperature and its relatives: not while it reasons.
    pub(super) fn samples(self, effort: Option<Effort>) -> bool {
        match (self.reasoning, effort) {
            (Reasoning::Never, _) | (Reasoning::WithEffort, None) => true,
            (Reasoning::Always, _) | (Reasoning::UnlessNone, None) => false,
            (Reasoning::UnlessNone | Reasoning::WithEffort, Some(effort)) => effort == Effort::None,
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
    // Of `4o`.
    let number = number.strip_suffix('o').unwrap_or(number);
    let (major, minor) = match number.split_once('.') {
        Some(parts) => parts,
        // Azure writes 3.5 so.
        None if number.len() == 2 => number.split_at_checked(1)?,
        None => (number, "0"),
    };
    Some(((major.parse().ok()?, minor.parse().ok()?), variant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_a_model_takes() {
        let (none, low) = (Some(Effort::None), Some(Effort::Low));
        //                              samples with none, without one, with low; stops, parallel calls
        for (name, takes) in [
            ("gpt-4o", [true, true, true, true, true]),
            ("gpt-4.1-mini-2025-04-14", [true, true, true, true, true]),
            ("gpt-35-turbo", [true, true, true, true, true]),
            ("gpt-41-mini", [true, true, true, true, true]),
            ("gpt-51", [true, true, false, false, true]),
            ("gpt-oss-120b", [true, true, true, true, true]),
            ("my-deployment", [true, true, true, true, true]),
            ("omni-moderation-latest", [true, true, true, true, true]),
            ("o365-bot", [true, true, true, true, true]),
            ("o2-chat", [true, true, true, true, true]),
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

    #[test]
    fn an_effort_is_one_that_the_model_takes() {
        use Effort::{High, Low, Max, Medium, Minimal, None as No, Xhigh};
        let some = |efforts: [Effort; 4]| efforts.map(Some);
        //                          for none, minimal, medium, max
        for (name, expected) in [
            ("gpt-4o-mini", [None; 4]),
            ("gpt-4.1", [None; 4]),
            ("gpt-35-turbo", [None; 4]),
            ("gpt-5-chat-latest", [None; 4]),
            ("gpt-5-mini", some([Minimal, Minimal, Medium, High])),
            ("o3-mini", some([Low, Low, Medium, High])),
            ("gpt-5.1", some([No, Low, Medium, High])),
            ("gpt-5.1-codex", some([Low, Low, Medium, Xhigh])),
            ("gpt-5.1-chat-latest", some([Medium; 4])),
            ("gpt-5.4", some([No, Low, Medium, Xhigh])),
            ("gpt-5.6-luna", some([No, Low, Medium, Max])),
            ("gpt-oss-120b", some([No, Minimal, Medium, Max])),
            ("my-deployment", some([No, Minimal, Medium, Max])),
        ] {
            let model = Model::named(name);
            assert_eq!([No, Minimal, Medium, Max].map(|asked| model.effort(asked)), expected, "{name}");
        }
        let ollamas = [No, Minimal, Medium, Max].map(|asked| Model::OLLAMAS.effort(asked));
        assert_eq!(ollamas, some([No, Low, Medium, High]));
    }
}
