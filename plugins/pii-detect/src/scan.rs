//! One pass over a text.

use crate::bytes::{byte, byte_before};
use crate::digits::{Group, Groups};
use crate::escape::escape;
use crate::{Rule, Rules, aadhaar, email, iban, ip_address, pan, payment_card, phone, ssn};

/// Something that was found.
pub type Match = octroi_policy::Match<Rule>;

/// Everything that `rules` find in `text`, in order and without overlap. Where two readings are possible, the one that
/// has a checksum counts.
#[must_use]
pub fn find(text: &str, rules: Rules) -> Vec<Match> {
    let mut scan = Scan { text, bytes: text.as_bytes(), rules, free: 0, escaped: 0, no_v6_before: 0 };
    let (mut matches, mut at) = (Vec::new(), 0);
    while let Some(step) = scan.bytes[at..].iter().position(|byte| TRIGGERS[usize::from(*byte)]) {
        at += step;
        match scan.look(at) {
            Ok(found) => {
                (at, scan.free) = (found.range.end, found.range.end);
                matches.push(found);
            }
            Err(next) => at = next,
        }
    }
    matches
}

/// The bytes at which a look is worth while.
const TRIGGERS: [bool; 256] = {
    let mut triggers = [false; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        triggers[digit as usize] = true;
        digit += 1;
    }
    triggers[b'@' as usize] = true;
    triggers[b':' as usize] = true;
    triggers[b'+' as usize] = true;
    triggers[b'(' as usize] = true;
    triggers[b'\\' as usize] = true;
    triggers[b'%' as usize] = true;
    triggers
};

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    rules: Rules,
    /// The end of the last match: nothing begins before it.
    free: usize,
    /// The end of the last escape, which may end in what looks like a part of an IPv6 address.
    escaped: usize,
    /// The end of a run that is no IPv6 address: its further colons are not asked again.
    no_v6_before: usize,
}

impl Scan<'_> {
    /// What the trigger at `at` belongs to, or where to go on.
    fn look(&mut self, at: usize) -> Result<Match, usize> {
        let found = match self.bytes[at] {
            b'@' => self.when(Rule::Email, || email::email(self.text, at..at + 1, self.free)),
            // In an address of the web.
            b'%' if self.bytes[at..].starts_with(b"%40") => {
                self.when(Rule::Email, || email::email(self.text, at..at + 3, self.free))
            }
            b'%' => None,
            b'+' => self.when(Rule::Phone, || Some((at, phone::international(self.bytes, at)?))),
            b'(' => self.when(Rule::Phone, || Some((at, phone::in_brackets(self.bytes, at)?))),
            b':' if at < self.no_v6_before => None,
            b':' => {
                let address = ip_address::v6(self.bytes, at, self.free.max(self.escaped));
                self.no_v6_before = address.err().unwrap_or(at);
                self.when(Rule::IpAddress, || address.ok())
            }
            b'\\' => {
                let (char, length) = escape(&self.bytes[at..]).ok_or(at + 1)?;
                self.escaped = at + length;
                let address = (char == '@')
                    .then(|| self.when(Rule::Email, || email::email(self.text, at..self.escaped, self.free)));
                return address.flatten().ok_or(self.escaped);
            }
            _ => {
                let digits = self.bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                return self.number(at, digits).ok_or(at + digits);
            }
        };
        found.ok_or(at + 1)
    }

    /// What the run of digits at `at` belongs to.
    fn number(&self, at: usize, digits: usize) -> Option<Match> {
        let bytes = self.bytes;
        let begins_at = |start: usize, end: Option<usize>| Some((start, end?));
        let may_be_code = byte_before(bytes, at).is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b' ');
        if may_be_code && digits >= 2 {
            let code = self
                .when(Rule::Iban, || iban::iban(bytes, at))
                .or_else(|| self.when(Rule::Pan, || pan::pan(bytes, at)))
                .filter(|code| code.range.start >= self.free);
            if code.is_some() {
                return code;
            }
        }
        // Most numbers in prose are short and cannot begin anything; the length of the first run says what could.
        let groups = (digits >= 4 || (digits >= 2 && bytes[at] == b'0')).then(|| Groups::read(bytes, at));
        let groups: &[Group] = groups.as_ref().map_or(&[], Groups::as_slice);
        let is_dotted = digits <= 3 && byte(bytes, at + digits) == Some(b'.');
        self.when(Rule::PaymentCard, || begins_at(at, payment_card::card(bytes, groups)))
            .or_else(|| self.when(Rule::Aadhaar, || begins_at(at, aadhaar::aadhaar(bytes, groups))))
            .or_else(|| self.when_also(Rule::UsSsn, digits == 3 || digits == 9, || begins_at(at, ssn::ssn(bytes, at))))
            .or_else(|| self.when_also(Rule::IpAddress, is_dotted, || begins_at(at, ip_address::v4(bytes, at))))
            .or_else(|| self.when(Rule::Phone, || begins_at(at, phone::national(bytes, at, digits, groups))))
    }

    /// Asks a detector if its rule is in the set and the text could begin what it looks for.
    fn when_also(
        &self,
        rule: Rule,
        is_possible: bool,
        detector: impl FnOnce() -> Option<(usize, usize)>,
    ) -> Option<Match> {
        is_possible.then(|| self.when(rule, detector)).flatten()
    }

    /// Asks a detector if its rule is in the set.
    fn when(&self, rule: Rule, detector: impl FnOnce() -> Option<(usize, usize)>) -> Option<Match> {
        let (start, end) = self.rules.has(rule).then(detector).flatten()?;
        Some(Match { rule, range: start..end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<(Rule, &str)> {
        find(text, Rules::ALL).into_iter().map(|found| (found.rule, &text[found.range])).collect()
    }

    #[test]
    fn one_text_may_hold_everything() {
        let text = "Grüße! 4111 1111 1111 1111, 123-45-6789, GB29 NWBK 6016 1331 9268 19, ABCPD1234E, 2341 2341 2346, \
                    jane@example.org, +49 30 123456 and 10.1.2.3 or 2001:db8::1 😀";
        let found: Vec<Rule> = rules(text).into_iter().map(|(rule, _)| rule).collect();
        assert_eq!(
            found,
            [
                Rule::PaymentCard,
                Rule::UsSsn,
                Rule::Iban,
                Rule::Pan,
                Rule::Aadhaar,
                Rule::Email,
                Rule::Phone,
                Rule::IpAddress,
                Rule::IpAddress
            ]
        );
    }

    #[test]
    fn prose_code_and_records_pass() {
        for text in [
            "In 2024, 3 of 10 teams shipped v1.2.3 on 2024-05-06 at 10:30:45, 12.5% faster, for $1,234,567.89 (net).",
            "order 1234567890, ticket 123456789, invoice 2024-000123, tracking 1Z999AA10123456784",
            "550e8400-e29b-41d4-a716-446655440000 0123456789abcdef0123456789abcdef01234567",
            "let x: u32 = (1 + 2) * 3; std::mem::take(&mut y); assert_eq!(a[0..10], b[1..=11]);",
            "epoch 1700000000, 1700000000000 ms, 1700000000000000 us; id=987654321",
            "pi is 3.14159265358979 and c is 299792458 m/s; 6.02214076e23 (exact)",
            "{\"id\": 4815162342, \"size\": 1048576, \"ratio\": 0.4111111111111111, \"at\": \"2024-05-06T10:30:45.123456Z\"}",
            "+2024-05-06 10:30 started\n+20240101 12:00 end\n+ to 234123412346.dkr.ecr.eu-west-1.amazonaws.com/app",
            "Postal codes 10115, 75008 and 94103-1234; bus 100, 200 and 300; pages 12-34, 56-78.",
            "user@host ssh -p 2222; npm i lodash@4.17.21 @types/node@20.11.5; 127.0.0.1:8080 and localhost",
        ] {
            assert_eq!(rules(text), [], "{text}");
        }
    }

    #[test]
    fn a_reading_with_a_checksum_counts_first() {
        assert_eq!(rules("phone 4111111111111111"), [(Rule::PaymentCard, "4111111111111111")]);
        assert_eq!(rules("jane@10.1.2.3"), [(Rule::IpAddress, "10.1.2.3")]);
        assert_eq!(rules("555-123-4567@example.org")[0], (Rule::Phone, "555-123-4567"));
    }

    #[test]
    fn what_stands_behind_a_colon_is_looked_at() {
        for (text, data) in [
            ("SSN:123-45-6789", "123-45-6789"),
            ("card:4111 1111 1111 1111", "4111 1111 1111 1111"),
            ("IBAN:DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
            ("DB:10.0.0.5:5432", "10.0.0.5"),
            ("feed:10.0.0.5", "10.0.0.5"),
            ("Tel:555-123-4567", "555-123-4567"),
            ("phone:030 1234567", "030 1234567"),
            ("a:b:c:d:2341 2341 2346", "2341 2341 2346"),
        ] {
            assert_eq!(rules(text).iter().map(|(_, found)| *found).collect::<Vec<_>>(), [data], "{text}");
        }
        for text in ["10:30:05 20240101", "09:05 1234567 bytes", "00:01:02:03 04:05:06:07", "12:34:56.789.10.11"] {
            assert_eq!(rules(text), [], "{text}");
        }
    }

    #[test]
    fn a_rule_that_is_off_finds_nothing() {
        assert_eq!(find("jane@example.org 10.1.2.3", Rules::NONE.with(Rule::Pan)), []);
    }

    /// Each was made to cost more with every byte. That they cost no more than they may `tests/hostile.rs` shows.
    #[test]
    fn hostile_texts_are_read_to_their_end() {
        for piece in [
            "1", "1 ", "@", "a@", ":", "a:", "+1", "(", "4111 ", "0 ", "GB29 ", "1.", "a.", "2001:", "::", "1-", "1:",
            "\\", "\\n", "\\u0040", "a\\u0040", "\\u00a01", "1,", "+1,", "a%40",
        ] {
            for bytes in [500_000, 1_000_000] {
                let text = piece.repeat(bytes / piece.len());
                assert_eq!(find(&text, Rules::ALL), [], "{piece}");
                let end = text.len() + 1..text.len() + 17;
                let found = find(&(text + "\njane@example.org"), Rules::ALL);
                assert_eq!(found, [Match { rule: Rule::Email, range: end }], "{piece}");
            }
        }
    }

    #[test]
    fn every_range_is_on_character_boundaries() {
        for text in ["ü@ü.üü", "😀+49 30 123456😀", "é4111111111111111é", "ÿ::ffff:10.0.0.1ÿ", "日@日.日日", "a@b.1éé"]
        {
            for found in find(text, Rules::ALL) {
                assert!(text.get(found.range).is_some(), "{text}");
            }
        }
    }
}
