//! E-mail addresses.

use std::ops::Range;

use crate::escape::{escape, escape_before};

/// Longest local part and domain (RFC 5321), in bytes.
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;

/// The address around the `@` at `sign`, as start and end. It does not begin before `from`.
pub(crate) fn email(text: &str, sign: Range<usize>, from: usize) -> Option<(usize, usize)> {
    // First what is cheap where there is no address: in `%40a%40a` each sign has a local part, none a domain.
    let end = domain_end(text, sign.end)?;
    let domain = &text[sign.end..end];
    let is_version = text[sign.clone()].starts_with('%') && begins_with_version(domain);
    let start = if is_version { None } else { local_start(text, sign.start, from) }?;
    let local = &text[start..sign.start];
    (!is_git_remote(local, &text[..start]) && !is_program_text(local, domain, &text[end..])).then_some((start, end))
}

/// Last parts of names of files, none of which is a top-level domain: `icon@2x.png`, `react@next.min.js`.
const FILES: &[&str] = &[
    "min", "js", "mjs", "cjs", "ts", "tsx", "jsx", "vue", "css", "scss", "html", "htm", "wasm", "json", "xml", "yaml",
    "yml", "toml", "txt", "csv", "pdf", "svg", "png", "jpg", "jpeg", "gif", "webp", "avif", "ico", "bmp", "tif",
    "tiff", "psd", "woff", "ttf", "otf", "wav", "webm", "tgz", "gz", "tar", "whl", "jar", "exe", "dll", "git",
];

/// Last parts of names of systemd's units, `getty@tty1.service`. None is a top-level domain.
const UNITS: &[&str] =
    &["service", "socket", "timer", "mount", "automount", "slice", "scope", "path", "swap", "device"];

/// Top-level domains of most addresses, beside those of countries.
const COMMON: &[&str] = &["com", "org", "net", "edu", "gov", "info", "biz"];

/// What Kotlin has before the label of a class or block: `this@Main.value`, `return@forEach.run`.
const LABELLED: &[&str] = &["this", "super", "return", "break", "continue"];

/// Letters of alphabets that are written with spaces between words (Latin to Armenian) belong to an address; those of
/// others do not, or an address behind Chinese text would take the sentence along.
fn is_letter(char: char) -> bool {
    char.is_ascii_alphanumeric() || (char > '\u{7f}' && char < '\u{590}' && char.is_alphabetic())
}

fn local_start(text: &str, at: usize, from: usize) -> Option<usize> {
    if text[..at].ends_with(['.', '\'']) {
        return None;
    }
    let belongs = |char: char| is_letter(char) || matches!(char, '.' | '_' | '%' | '+' | '-' | '\'' | '&' | '~' | '!');
    let (mut start, mut begin) = (None, at);
    while let Some((char, length)) = last_char(&text[from..begin])
        && at - begin + length <= LONGEST_LOCAL
        && belongs(char)
    {
        begin -= length;
        // An address begins with a letter or digit; a quote or dot before it belongs to the sentence.
        if is_letter(char) || char == '_' {
            start = Some(begin);
        }
    }
    start
}

fn domain_end(text: &str, start: usize) -> Option<usize> {
    let text = &text[..text.floor_char_boundary(start + LONGEST_DOMAIN + 1)];
    let (mut end, mut valid) = (start, None);
    loop {
        let label = chars(&text[end..]).take_while(|(char, _)| is_letter(*char) || *char == '-');
        let length: usize = label.map(|(_, length)| length).sum();
        let name = text[end..end + length].trim_end_matches('-');
        if name.is_empty() || name.starts_with('-') || end + length - start > LONGEST_DOMAIN {
            return valid;
        }
        let is_called = begins_with_call(&text[end + name.len()..]) && !is_common(name);
        if end > start && is_top_level(name) && !is_called {
            valid = Some(end + name.len());
        }
        if !text[end + length..].starts_with('.') {
            return valid;
        }
        end += length + 1;
    }
}

/// The characters and their bytes; an escape is the character that it stands for.
fn chars(text: &str) -> impl Iterator<Item = (char, usize)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = |char: char| (char, char.len_utf8());
        let (char, length) = escape(rest.as_bytes()).or_else(|| rest.chars().next().map(first))?;
        rest = &rest[length..];
        Some((char, length))
    })
}

/// The last of them.
fn last_char(text: &str) -> Option<(char, usize)> {
    let last = |char: char| (char, char.len_utf8());
    escape_before(text.as_bytes(), text.len()).or_else(|| text.chars().next_back().map(last))
}

/// Two letters or more that end no file's name, or a domain in another alphabet's ASCII form.
fn is_top_level(label: &str) -> bool {
    let letters = || chars(label).all(|(char, _)| char.is_alphabetic()) && chars(label).count() >= 2;
    (letters() && !is_any(label, FILES))
        || (label.len() > 4 && label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")))
}

fn is_any(label: &str, labels: &[&str]) -> bool {
    labels.iter().any(|one| label.eq_ignore_ascii_case(one))
}

/// The arguments of a call: none, or `name=`. What else stands in brackets may be a remark, `(work)`, `(030) 1234`.
fn begins_with_call(text: &str) -> bool {
    const LONGEST_NAME: usize = 32;
    let Some(arguments) = text.strip_prefix('(') else { return false };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let name = arguments.bytes().take(LONGEST_NAME).take_while(is_name).count();
    arguments.starts_with(')') || (name > 0 && arguments[name..].starts_with('='))
}

/// Where program text would be an address as well, it is one.
fn is_common(label: &str) -> bool {
    label.len() == 2 || is_any(label, COMMON)
}

/// `this@Main.value`, `return@apply.copy(x)`, a systemd unit, whose own name has no dot unless there is a digit in its
/// instance, and a slot of an object in R, `data@meta.data$x`.
fn is_program_text(local: &str, domain: &str, behind: &str) -> bool {
    let Some((name, rest)) = domain.split_once('.') else { return false };
    let is_called = behind.starts_with('(') && !rest.contains('.');
    let is_label = LABELLED.contains(&local) && (is_called || name.contains(char::is_uppercase));
    (is_label && !rest.rsplit('.').next().is_some_and(is_common))
        || (is_any(rest, UNITS) && (!local.contains('.') || name.contains(|char: char| char.is_ascii_digit())))
        || (domain == "meta.data" && behind.starts_with('$'))
}

/// `git@github.com:owner/name` and `https://example.org/name.git@main` name a repository.
fn is_git_remote(local: &str, before: &str) -> bool {
    local == "git" || (local.ends_with(".git") && before.ends_with('/'))
}

/// `https://example.org/vue%403.global.js`. Providers of mail have three digits, such as `163.com`.
fn begins_with_version(domain: &str) -> bool {
    let digits = domain.bytes().take_while(u8::is_ascii_digit).count();
    matches!(digits, 1 | 2) && domain[digits..].starts_with('.')
}

#[cfg(test)]
mod tests {
    use crate::Rule::Email;
    use crate::support::{assert_finds, assert_passes, found};

    #[test]
    fn calls_end_no_address_and_remarks_do() {
        assert_passes(Email, &["y = X@W.mean(axis=0)", "A@B.transpose()"]);
        for remark in ["(work)", "(Büro)", "(手機)", "(now)", "(1)", "()"] {
            assert_eq!(found(Email, &format!("jane@startup.ai{remark}")), ["jane@startup.ai"]);
        }
        for remark in ["(now)", "(030)1234567", "(24/7)", "(1)", "(\"Jane\")"] {
            assert_eq!(found(Email, &format!("jane@shop.online{remark}")), ["jane@shop.online"]);
        }
    }

    #[test]
    fn addresses_are_found() {
        for address in [
            "jane.doe@example.org",
            "jane+tag@mail.example.co.uk",
            "john.git@gmail.com",
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
            ("https://example.org/?to=jane%40example.org&x=1", "jane%40example.org"),
            ("https://example.org/?to=jane%40163.com", "jane%40163.com"),
            ("mails/jane@example.org.txt", "jane@example.org"),
            ("jane@example.org(work)", "jane@example.org"),
            ("jane@example.org.finish()", "jane@example.org"),
            ("E-Mail: jane@example.comTelefon: -", "jane@example.comTelefon"),
            ("JANE@EXAMPLE.COMPhone", "JANE@EXAMPLE.COMPhone"),
            ("Jane@Example.Org", "Jane@Example.Org"),
            ("jane@example.itTelefono", "jane@example.itTelefono"),
            ("jane@example.atTelefon", "jane@example.atTelefon"),
            ("jane@startup.aiPhone", "jane@startup.aiPhone"),
            ("jane@example.cOm", "jane@example.cOm"),
            ("max@gmail.coM", "max@gmail.coM"),
            ("JaNe@ExAmPlE.cOm", "JaNe@ExAmPlE.cOm"),
            ("jane@startup.ai(work)", "jane@startup.ai"),
            ("max@firma.at(Büro)", "max@firma.at"),
            ("wang@example.tw(手機)", "wang@example.tw"),
            ("jane@shop.online(now)", "jane@shop.online"),
            ("jane@example.org()", "jane@example.org"),
            ("this@example.org", "this@example.org"),
            ("this@Example.org(work)", "this@Example.org"),
            ("return@shop.dev", "return@shop.dev"),
            ("super@site.app", "super@site.app"),
            ("break@news.tv", "break@news.tv"),
            ("continue@x.ai", "continue@x.ai"),
            ("jane@meta.data", "jane@meta.data"),
            ("jane@meta.data.example.org", "jane@meta.data.example.org"),
            ("jane.doe@firma.service", "jane.doe@firma.service"),
            ("x@mail.firma.service", "x@mail.firma.service"),
            ("x@firma.services", "x@firma.services"),
            ("x@mail.value", "x@mail.value"),
        ] {
            assert_eq!(found(Email, text), [address], "{text}");
        }
    }

    #[test]
    fn escapes_in_json_text_are_read() {
        for (text, address) in [
            (r#"{"t":"Hi\njane@example.org\nBye"}"#, "jane@example.org"),
            (r#"{"t":"{\"u\":\"Hi\\njane@example.org\"}"}"#, "jane@example.org"),
            (r"jane\u0040example.org", r"jane\u0040example.org"),
            (r"j\u00fcrgen@b\u00fccher.de", r"j\u00fcrgen@b\u00fccher.de"),
            (r"\u0438\u0432\u0430\u043d\u0040x.\u0440\u0444", r"\u0438\u0432\u0430\u043d\u0040x.\u0440\u0444"),
            (r"\u003cjane@example.org\u003e", "jane@example.org"),
            (r"\u90ae\u7bb1jane@example.org\u3002", "jane@example.org"),
            (r"\ud83d\ude00jane@example.org", "jane@example.org"),
        ] {
            assert_eq!(found(Email, text), [address], "{text}");
        }
        assert_passes(Email, &[r"\u0040jane", r"a\u0040b", r"\n@example.org"]);
    }

    #[test]
    fn program_text_passes() {
        assert_passes(
            Email,
            &[
                "this@MainActivity.finish()",
                "Toast.makeText(this@MainActivity.applicationContext, x)",
                "return@forEach.run { }",
                "return@apply.copy(name = x)",
                "val x = this@Outer.value",
                "pbmc@meta.data$percent.mt",
                "y = X@W.transpose() + A@B.conj()",
            ],
        );
    }

    #[test]
    fn names_of_units_pass() {
        assert_passes(
            Email,
            &[
                "getty@tty1.service",
                "user@1000.service",
                "postgresql@15-main.service:",
                "wg-quick@wg0.service",
                "systemd-fsck@dev-sda1.device",
                "openvpn-client@office.service",
                "borgmatic@nightly.timer",
                "systemd-cryptsetup@luks.service",
                "docker@rootless.socket",
            ],
        );
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
                "icon@small.svg",
                "icon%40small.svg",
                "https://cdn.jsdelivr.net/npm/react-dom%40next.min.js",
                "https://cdn.jsdelivr.net/npm/vue%403.js",
                "https://cdn.jsdelivr.net/npm/vue%403.global.js",
                "https://github.com/foo/bar.git%40main.dev",
                "pip install git+https://github.com/foo/bar.git@main.dev",
                "10 @ 5 EUR",
                "git@github.com:owner/name.git",
                "user@10.0.0.1",
                "@app.route",
                "a@b",
                "x @ y.org",
                "jane.@example.org",
                "printf(\"%40s.name %40d\")",
                "40%40 of",
            ],
        );
    }
}
