//! Names of models and tools: whose model a name is, as far as names tell, and what a called tool may be named.

use super::Catalogue;
use crate::chat::TOOL_NAME;

/// A vendor whose names are known by their beginnings, beside Mistral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vendor {
    OpenAi,
    Anthropic,
    Google,
}

impl Vendor {
    /// The vendor that a name plainly belongs to. `gpt-oss` does not: its weights are open, and anybody serves them.
    pub(crate) fn of(model: &str) -> Option<Self> {
        let base = model.strip_prefix("ft:").unwrap_or(model);
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| base.starts_with(beginning));
        let reasoner = base.strip_prefix('o').is_some_and(|rest| {
            let family = rest.split('-').next().unwrap_or_default();
            !family.is_empty() && family.bytes().all(|byte| byte.is_ascii_digit())
        });
        if base.starts_with("gpt-oss") {
            None
        } else if reasoner || begins(&["gpt-", "chatgpt-", "text-embedding-", "omni-moderation-", "text-moderation-"]) {
            Some(Self::OpenAi)
        } else if begins(&["claude-"]) {
            Some(Self::Anthropic)
        } else if begins(&["gemini-"]) {
            Some(Self::Google)
        } else {
            None
        }
    }

    /// Whether it is asked for a name of which the configuration says nothing: one of its own, or one on its list that is
    /// plainly nobody else's.
    pub(crate) fn serves(self, model: &str, catalogue: &Catalogue) -> bool {
        Self::of(model) == Some(self) || is_anyones(model) && catalogue.lists(model)
    }
}

/// How names of Mistral's begin, fine-tuned ones' among them.
const MISTRALS: [&str; 13] = [
    "mistral-",
    "ministral-",
    "magistral-",
    "codestral-",
    "devstral-",
    "pixtral-",
    "voxtral-",
    "open-mistral-",
    "open-mixtral-",
    "open-codestral-",
    "mathstral-",
    "labs-",
    "ft:",
];

/// Whether a name is plainly Mistral's own. `mistral-nemo:latest` is not: so Ollama writes whose weights are open.
pub(crate) fn is_mistrals(model: &str) -> bool {
    MISTRALS.iter().any(|beginning| model.starts_with(beginning)) && (model.starts_with("ft:") || !model.contains(':'))
}

/// Whether a name is plainly no vendor's own: who lists it may be asked for it.
pub(crate) fn is_anyones(model: &str) -> bool {
    Vendor::of(model).is_none() && !is_mistrals(model)
}

/// What the configuration says about a name: served if it is the default or listed, or all are; not if others are listed;
/// nothing if none is.
pub(crate) fn listed(model: &str, default: &str, models: &[String]) -> Option<bool> {
    if model == default || models.iter().any(|listed| listed == model || listed == "*") {
        Some(true)
    } else if models.is_empty() {
        None
    } else {
        Some(false)
    }
}

/// Whether a model may chat: names tell of those that make vectors and judgements alone.
pub(crate) fn chats(model: &str) -> bool {
    !model.contains("embed") && !model.contains("moderation")
}

/// Whether this may be the name of a tool in a call. Policies are shown names, and cannot mask them; with others a model
/// could tell its client what no policy would let pass.
pub(crate) fn is_call(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/');
    (1..=TOOL_NAME).contains(&name.len()) && name.bytes().all(fits)
}

/// What a name that may not be one is told to be.
pub(crate) const EXPECTED: &str = "expected at most 128 letters, digits, `_`, `-`, `.`, `:` and `/`";

/// The note about a call that is left out.
pub(crate) const NAMELESS: &str = "a tool call left out without a name, or with one that no tool can have";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::provider::Provider;

    /// Checks that a provider of a vendor with names of its own is asked for what it lists and is plainly nobody else's.
    pub(crate) fn serves_what_it_lists(provider: &dyn Provider) {
        let listed = r#"{"data": [{"id": "on-the-list"}, {"id": "mistral-small-latest"}, {"id": "gpt-4o"}]}"#;
        let from = "https://host.example".parse().unwrap();
        provider.catalogue().unwrap().read(listed.as_bytes(), &from);
        for (model, served) in
            [("on-the-list", true), ("on-no-list", false), ("mistral-small-latest", false), ("gpt-4o", false)]
        {
            assert_eq!(provider.serves(model), served, "{model}");
        }
    }

    #[test]
    fn names_tell_their_vendor() {
        for (name, vendor) in [
            ("gpt-4o", Some(Vendor::OpenAi)),
            ("ft:gpt-4o-mini:acme::x", Some(Vendor::OpenAi)),
            ("o3", Some(Vendor::OpenAi)),
            ("o4-mini", Some(Vendor::OpenAi)),
            ("chatgpt-4o-latest", Some(Vendor::OpenAi)),
            ("text-embedding-3-small", Some(Vendor::OpenAi)),
            ("gpt-oss-20b", None),
            ("claude-sonnet-4-20250514", Some(Vendor::Anthropic)),
            ("gemini-2.0-flash", Some(Vendor::Google)),
            ("open-mistral-nemo", None),
            ("o-model", None),
            ("", None),
        ] {
            assert_eq!(Vendor::of(name), vendor, "{name}");
        }
    }

    #[test]
    fn names_tell_what_is_mistrals() {
        for (name, expected) in [
            ("mistral-small-latest", true),
            ("open-mistral-nemo", true),
            ("codestral-2508", true),
            ("ft:open-mistral-7b:acme:20260101:x", true),
            ("mistral-nemo:latest", false),
            ("mistral:latest", false),
            ("llama3.1:latest", false),
            ("llama-3.3-70b", false),
            ("small", false),
        ] {
            assert_eq!(is_mistrals(name), expected, "{name}");
        }
    }

    #[test]
    fn names_tell_of_models_that_do_not_chat() {
        for (name, expected) in [
            ("gpt-4o", true),
            ("mistral-small-latest", true),
            ("text-embedding-3-small", false),
            ("mistral-embed", false),
            ("nomic-embed-text:latest", false),
            ("omni-moderation-latest", false),
        ] {
            assert_eq!(chats(name), expected, "{name}");
        }
    }

    #[test]
    fn a_list_closes_the_set() {
        let list = |models: &[&str]| models.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(listed("a", "a", &[]), Some(true));
        assert_eq!(listed("b", "a", &[]), None);
        assert_eq!(listed("b", "a", &list(&["b"])), Some(true));
        assert_eq!(listed("c", "a", &list(&["b"])), Some(false));
        assert_eq!(listed("c", "a", &list(&["*"])), Some(true));
    }
}
