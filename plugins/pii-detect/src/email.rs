//! E-mail addresses.

use crate::bytes::is_digit;

/// Longest local part and domain (RFC 5321), in bytes.
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;

/// The address around the `@` at `at`, as start and end. It does not begin before `from`.
pub(crate) fn email(text: &str, at: usize, from: usize) -> Option<(usize, usize)> {
    let start = local_start(text, at, from)?;
    let end = domain_end(text, at + 1)?;
    let (local, domain) = (&text[start..at], &text[at + 1..end]);
    (!is_git_remote(local) && !is_pixel_ratio(domain)).then_some((start, end))
}

/// Letters of alphabets that are written with spaces between words (Latin to Armenian) belong to an address; those of
/// others do not, or an address behind Chinese text would take the sentence along.
fn is_letter(char: char) -> bool {
    char.is_ascii_alphanumeric() || (char > '\u{7f}' && char < '\u{590}' && char.is_alphabetic())
}

fn local_start(text: &str, at: usize, from: usize) -> Option<usize> {
    let belongs = |char: char| is_letter(char) || matches!(char, '.' | '_' | '%' | '+' | '-' | '\'' | '&' | '~' | '!');
    let start = text[from..at]
        .char_indices()
        .rev()
        .map(|(offset, char)| (from + offset, char))
        .take_while(|(start, char)| at - start <= LONGEST_LOCAL && belongs(*char))
        // An address begins with a letter or digit; a quote or dot before it belongs to the sentence.
        .filter(|(_, char)| is_letter(*char) || *char == '_')
        .last()?
        .0;
    (!text[..at].ends_with(['.', '\''])).then_some(start)
}

fn domain_end(text: &str, start: usize) -> Option<usize> {
    let text = &text[..text.floor_char_boundary(start + LONGEST_DOMAIN + 1)];
    let (mut end, mut valid) = (start, None);
    for (index, label) in text[start..].split('.').enumerate() {
        let length = label.find(|char| !is_letter(char) && char != '-').unwrap_or(label.len());
        let (name, complete) = (label[..length].trim_end_matches('-'), length == label.len());
        if name.is_empty() || name.starts_with('-') || end + length - start > LONGEST_DOMAIN {
            break;
        }
        if index > 0 && is_top_level(name) {
            valid = Some(end + name.len());
        }
        if !complete {
            break;
        }
        end += length + 1;
    }
    valid
}

/// Two letters or more, or a domain in another alphabet's ASCII form.
fn is_top_level(label: &str) -> bool {
    let letters = || label.chars().all(char::is_alphabetic) && label.chars().count() >= 2;
    letters() || (label.len() > 4 && label[..4].eq_ignore_ascii_case("xn--"))
}

/// `git@github.com:owner/name` names a repository.
fn is_git_remote(local: &str) -> bool {
    local == "git"
}

/// `icon@2x.png` is a picture.
fn is_pixel_ratio(domain: &str) -> bool {
    let bytes = domain.as_bytes();
    is_digit(bytes.first().copied()) && bytes.get(1..3) == Some(b"x.")
}

#[cfg(test)]
mod tests {
    use crate::Rule::Email;
    use crate::support::{assert_finds, assert_passes, found};

    #[test]
    fn addresses_are_found() {
        for address in [
            "jane.doe@example.org",
            "jane+tag@mail.example.co.uk",
            "JANE_DOE%x@EXAMPLE.COM",
            "o'neil@example.ie",
            "1990@example.museum",
            "jürgen@bücher.de",
            "иван@почта.рф",
            "a@xn--bcher-kva.xn--p1ai",
        ] {
            assert_finds(Email, address);
        }
    }

    #[test]
    fn what_stands_around_an_address_stays() {
        for (text, address) in [
            ("mailto:jane@example.org?subject=x", "jane@example.org"),
            ("'jane@example.org'", "jane@example.org"),
            ("Write to jane@example.org.", "jane@example.org"),
            ("邮箱jane@example.org。", "jane@example.org"),
            ("<jane@example.org>", "jane@example.org"),
            ("...jane@example.org-", "jane@example.org"),
            ("jane@example.org.123", "jane@example.org"),
        ] {
            assert_eq!(found(Email, text), [address], "{text}");
        }
    }

    #[test]
    fn other_at_signs_pass() {
        assert_passes(
            Email,
            &[
                "@jane",
                "jane@",
                "jane@localhost",
                "@types/node",
                "lodash@4.17.21",
                "icon@2x.png",
                "10 @ 5 EUR",
                "git@github.com:owner/name.git",
                "user@10.0.0.1",
                "@app.route",
                "a@b",
                "x @ y.org",
                "jane.@example.org",
            ],
        );
    }
}
