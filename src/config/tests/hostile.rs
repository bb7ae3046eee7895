//! A text that wants to cost much costs little.

use std::fmt::Write as _;

use super::{environment, parse};

fn refused(text: &str) -> String {
    parse(text, &environment([])).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        writeln!(text, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 9].join(", ")).unwrap();
    }
    assert_eq!(refused(&text), "octroi.yaml: the document is too complex, allowed: at most 50000 values");
}

#[test]
fn a_long_text_cannot_be_multiplied_by_aliases() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 1_000].join(", "));
    assert_eq!(refused(&text), "octroi.yaml: the document is too complex, allowed: at most 8388608 bytes of text");
}

#[test]
fn an_alias_of_itself_is_refused() {
    assert_eq!(refused("a: &a {b: *a}"), "octroi.yaml: the document is too complex, allowed: at most 64 levels");
}

#[test]
fn depth_is_bounded() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "{a: ".repeat(10_000) + &"b,".repeat(480_000)] {
        let error = refused(&text);
        let allowed = format!("at most {} brackets that are open", (1 << 27) / text.len());
        assert!(error.contains(&allowed), "{error}");
    }
    for text in ["[".repeat(10_000), "[a: ".repeat(5_000), "- ".repeat(500_000)] {
        assert_eq!(refused(&text), "octroi.yaml: the document is too complex, allowed: at most 64 levels");
    }
}

/// The library compares each directive with all others.
#[test]
fn directives_are_bounded() {
    for end in ["\n", "\r", "\u{85}", "\u{2028}"] {
        let text: String = (0..40_000).map(|number| format!("%TAG !a{number}! b{end}")).collect();
        let error = refused(&(text + "---\na: b\n"));
        assert!(error.ends_with("at most 16 lines that begin with `%`"), "{error}");
    }
}

/// What takes longest of all that is read: as deep as the length allows, and no end of tokens. One bracket more and the
/// library does not see it.
#[test]
fn a_text_is_read_as_deep_as_its_length_allows_and_no_deeper() {
    let (room, depth) = (1 << 20, 128);
    let read = "octroi.yaml: the document is too complex, allowed: at most 64 levels";
    for (open, more) in [("{a: ", "b,"), ("[", "b,")] {
        let text = |depth: usize| open.repeat(depth) + &more.repeat((room - open.len() * depth) / more.len());
        assert_eq!(refused(&text(depth)), read);
        assert!(refused(&text(depth + 1)).contains("at most 128 brackets that are open"));
    }
    // Brackets that are closed on an open line are counted with it.
    for (open, more) in [("{a: ", "[],"), ("[a: ", "[]: ,")] {
        let text = open.repeat(2) + &more.repeat(127) + &"b,".repeat(room / 2 - 1_000);
        assert!(refused(&text).contains("at most 128 brackets that are open"));
    }
}

#[test]
fn length_is_bounded() {
    let text = format!("version: \"1.0\"\n# {}", "x".repeat(1 << 20));
    assert_eq!(refused(&text), "octroi.yaml: found 1048593 bytes, allowed: at most 1048576");
}

#[test]
fn what_json_cannot_hold_is_refused() {
    for (text, expected) in [
        (
            "a: .nan",
            "octroi.yaml:1:1: a: found a number that is not finite, allowed: a finite number; a text in quotes",
        ),
        ("a: !tag b", "octroi.yaml:1:1: a: found a value with a tag (`!name`), allowed: values without tags"),
        (
            "a: {1: b}",
            "octroi.yaml:1:1: a: found the number 1 as a key, allowed: keys that are texts (put it in quotes)",
        ),
        (
            "a: 123456789012345678901234567890",
            "octroi.yaml:1:1: a: found an integer of more than 64 bits, allowed: an integer of 64 bits; a text in quotes",
        ),
    ] {
        assert_eq!(refused(text), expected);
    }
    assert!(refused("a: 1\n---\nb: 2\n").contains("more than one document"));
}
