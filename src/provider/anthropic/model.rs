//! What a model of Anthropic's takes, as its name tells: its generations differ in what they refuse.
//!
//! From Anthropic's pages on thinking, effort, structured outputs and migration between models, as of November 2026. A
//! name that tells nothing is taken for a model newer than this version: those refuse the most.

/// A generation, the newest where the name tells none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    version: (u32, u32),
    /// Of a family that cannot be told not to think.
    always_thinks: bool,
    /// One that takes instructions among its turns.
    later_instructions: bool,
}

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// It cannot.
    None,
    /// With a budget of tokens.
    Budget,
    /// By an effort.
    Effort,
}

const NEWEST: (u32, u32) = (u32::MAX, 0);

impl Model {
    /// Reads a name such as `claude-3-5-haiku-20241022`, `claude-sonnet-4-20250514` or `claude-opus-4-5`.
    pub(crate) fn named(name: &str) -> Self {
        let version = name.starts_with("claude").then(|| version(name)).flatten().unwrap_or(NEWEST);
        let of_family = |family: &str| name.contains(family);
        // Haiku alone of its generation can be told not to.
        let is_new = version >= (5, 5) && !(version == (5, 5) && of_family("-haiku-"));
        let always_thinks = is_new || of_family("-fable-") || of_family("-mythos-");
        // Sonnet takes them since 5.5 only. A name that tells no generation may be another vendor's.
        let since = if of_family("-sonnet-") { (5, 5) } else { (4, 8) };
        let later_instructions = (since..NEWEST).contains(&version);
        Self { version, always_thinks, later_instructions }
    }

    /// How it is told to think.
    pub(crate) fn thinking(self) -> Thinking {
        match self.version {
            version if version < (3, 7) => Thinking::None,
            version if version < (4, 6) => Thinking::Budget,
            _ => Thinking::Effort,
        }
    }

    /// Whether it thinks though nobody asked.
    pub(crate) fn thinks_unasked(self) -> bool {
        self.version >= (5, 0) || self.always_thinks
    }

    /// Whether it can be told not to.
    pub(crate) fn can_be_told_not_to_think(self) -> bool {
        !self.always_thinks
    }

    /// Whether there is an effort between high and the highest.
    pub(crate) fn takes_xhigh(self) -> bool {
        self.version >= (4, 7)
    }

    /// Whether it takes temperature and the like.
    pub(crate) fn takes_sampling(self) -> bool {
        self.version < (4, 7) && !self.always_thinks
    }

    /// Whether it can be made to call a tool.
    pub(crate) fn takes_forced_tools(self) -> bool {
        !self.always_thinks
    }

    /// Whether instructions may stand behind a user's turn, and not outside the conversation alone.
    pub(crate) fn takes_later_instructions(self) -> bool {
        self.later_instructions
    }

    /// Whether its answer, or a tool's arguments, can be held to a schema.
    pub(crate) fn takes_schemas(self) -> bool {
        self.version >= (4, 5)
    }
}

/// The first number and the one behind it, if that is no date.
fn version(name: &str) -> Option<(u32, u32)> {
    let number = |step: &str| (step.len() <= 2).then(|| step.parse::<u32>().ok()).flatten();
    let mut steps = name.split(['-', '.', '@']).skip_while(|step| number(step).is_none());
    let major = number(steps.next()?)?;
    Some((major, steps.next().and_then(number).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_generation() {
        for (name, version, thinking) in [
            ("claude-2.1", (2, 1), Thinking::None),
            ("claude-3-haiku-20240307", (3, 0), Thinking::None),
            ("claude-3-5-sonnet-20241022", (3, 5), Thinking::None),
            ("claude-3-7-sonnet-latest", (3, 7), Thinking::Budget),
            ("claude-sonnet-4-20250514", (4, 0), Thinking::Budget),
            ("claude-haiku-4-5-20251001", (4, 5), Thinking::Budget),
            ("claude-opus-4-6", (4, 6), Thinking::Effort),
            ("claude-opus-5", (5, 0), Thinking::Effort),
            ("claude-mythos-preview", NEWEST, Thinking::Effort),
            ("house-model-4", NEWEST, Thinking::Effort),
        ] {
            let model = Model::named(name);
            assert_eq!((model.version, model.thinking()), (version, thinking), "{name}");
        }
    }

    #[test]
    fn instructions_stand_among_the_turns_of_newer_models() {
        for (name, takes) in [
            ("claude-opus-4-7", false),
            ("claude-opus-4-8", true),
            ("claude-sonnet-5", false),
            ("claude-sonnet-5-5", true),
            ("claude-haiku-5-5", true),
            ("claude-fable-5", true),
            ("house-model-6", false),
        ] {
            assert_eq!(Model::named(name).takes_later_instructions(), takes, "{name}");
        }
    }

    #[test]
    fn each_generation_refuses_more() {
        //                                    sampling, forced tools, schemas, xhigh, thinks unasked
        for (name, traits) in [
            ("claude-3-5-haiku-20241022", [true, true, false, false, false]),
            ("claude-sonnet-4-5", [true, true, true, false, false]),
            ("claude-sonnet-4-6", [true, true, true, false, false]),
            ("claude-opus-4-8", [false, true, true, true, false]),
            ("claude-sonnet-5", [false, true, true, true, true]),
            ("claude-fable-5", [false, false, true, true, true]),
            ("claude-opus-5-5", [false, false, true, true, true]),
            ("claude-haiku-5-5", [false, true, true, true, true]),
        ] {
            let model = Model::named(name);
            let found = [
                model.takes_sampling(),
                model.takes_forced_tools(),
                model.takes_schemas(),
                model.takes_xhigh(),
                model.thinks_unasked(),
            ];
            assert_eq!(found, traits, "{name}");
        }
    }
}
