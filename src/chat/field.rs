//! The fields of a body whose values the canonical request holds.

/// Their names in OpenAI's dialect and Mistral's, older ones too.
pub(crate) const HELD_FIELDS: [&str; 28] = [
    "model",
    "messages",
    "prompt",
    "suffix",
    "input",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "n",
    "stop",
    "seed",
    "random_seed",
    "presence_penalty",
    "frequency_penalty",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "reasoning_effort",
    "stream",
    "stream_options",
    "dimensions",
    "output_dimension",
    "output_dtype",
    "encoding_format",
];

/// The one of them that a name stands for, in whatever letters it is written. Servers in Go, such as Ollama, read
/// `Messages` and `meſſages` as `messages`, and of two fields the last: a prompt that no policy saw would take the place
/// of the one that all saw.
pub(crate) fn held_field(name: &str) -> Option<&'static str> {
    // Upper case alone makes an `s` of `ſ`, lower case alone a `k` of the sign for Kelvin.
    let folded = name.to_uppercase().to_lowercase();
    HELD_FIELDS.into_iter().find(|held| *held == folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_known_in_any_letters() {
        for held in HELD_FIELDS {
            let odd = held.replace('s', "ſ").replace('k', "\u{212a}");
            for name in [held, &held.to_uppercase(), &odd] {
                assert_eq!(held_field(name), Some(held), "{name}");
            }
        }
        for other in ["", "user", "message", "messages ", "metadata", "logit_bias"] {
            assert_eq!(held_field(other), None, "{other}");
        }
    }
}
