//! What a model of Google's takes, as its name tells.
//!
//! From Google's pages on thinking, thought signatures and function calling, as of November 2026. A name that tells
//! nothing, such as `gemini-flash-latest`, is taken for one of the newest.

/// A generation, the newest where the name tells none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    version: (u32, u32),
    pro: bool,
    lite: bool,
}

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// It cannot.
    None,
    /// With a budget of tokens.
    Budget,
    /// By a level.
    Level,
}

const NEWEST: (u32, u32) = (u32::MAX, 0);

impl Model {
    /// Reads a name such as `gemini-2.5-flash-lite` or `gemini-3-pro-preview`.
    pub(crate) fn named(name: &str) -> Self {
        let version = name.strip_prefix("gemini-").and_then(version).unwrap_or(NEWEST);
        Self { version, pro: name.contains("-pro"), lite: name.contains("-lite") }
    }

    /// How it is told to think.
    pub(crate) fn thinking(self) -> Thinking {
        match self.version {
            version if version < (2, 5) => Thinking::None,
            version if version < (3, 0) => Thinking::Budget,
            _ => Thinking::Level,
        }
    }

    /// Whether it can think as good as not at all. From 3.7 on the Flash models begin at `low`, the lite ones do not.
    pub(crate) fn can_hardly_think(self) -> bool {
        !self.pro && (self.version < (3, 7) || self.lite)
    }

    /// Whether it wants its tool calls back with the signature of the thoughts before them.
    pub(crate) fn wants_signatures(self) -> bool {
        self.version >= (3, 0)
    }

    /// Whether it takes penalties for repetition.
    pub(crate) fn takes_penalties(self) -> bool {
        self.version < (2, 5)
    }

    /// Whether it gives more than one answer at once.
    pub(crate) fn takes_candidates(self) -> bool {
        self.version < (3, 0)
    }

    /// Whether it can be held to JSON while it may call tools.
    pub(crate) fn takes_json_with_tools(self) -> bool {
        self.version >= (3, 0)
    }
}

fn version(name: &str) -> Option<(u32, u32)> {
    let number = name.split('-').next()?;
    match number.split_once('.') {
        Some((major, minor)) => Some((major.parse().ok()?, minor.parse().ok()?)),
        None => Some((number.parse().ok()?, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_generation() {
        //                         thinking, hardly thinks, wants signatures, penalties, JSON with tools, candidates
        for (name, thinking, traits) in [
            ("gemini-2.0-flash", Thinking::None, [true, false, true, false, true]),
            ("gemini-2.5-flash-lite", Thinking::Budget, [true, false, false, false, true]),
            ("gemini-2.5-pro", Thinking::Budget, [false, false, false, false, true]),
            ("gemini-3-flash-preview", Thinking::Level, [true, true, false, true, false]),
            ("gemini-3.1-pro-preview", Thinking::Level, [false, true, false, true, false]),
            ("gemini-3.5-flash", Thinking::Level, [true, true, false, true, false]),
            ("gemini-3.7-flash", Thinking::Level, [false, true, false, true, false]),
            ("gemini-3.8-flash-lite", Thinking::Level, [true, true, false, true, false]),
            ("gemini-4-argon", Thinking::Level, [false, true, false, true, false]),
            ("gemini-flash-latest", Thinking::Level, [false, true, false, true, false]),
            ("gemini-flash-lite-latest", Thinking::Level, [true, true, false, true, false]),
        ] {
            let model = Model::named(name);
            let found = [
                model.can_hardly_think(),
                model.wants_signatures(),
                model.takes_penalties(),
                model.takes_json_with_tools(),
                model.takes_candidates(),
            ];
            assert_eq!((model.thinking(), found), (thinking, traits), "{name}");
        }
    }
}
