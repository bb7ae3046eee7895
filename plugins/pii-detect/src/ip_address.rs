//! IP addresses of actual hosts. Loopback, unspecified and broadcast addresses and netmasks name nobody.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::bytes::{byte, byte_before, ends_with, is_any, is_word, is_word_before, is_word_behind, name_before};

/// Words before four numbers with points that are no address, beside those that end in "version".
const NUMBERINGS: &[&str] =
    &["ver", "release", "build", "firmware", "section", "chapter", "clause", "paragraph", "article", "v", "oid"];

/// Longest textual IPv4 address.
const LONGEST_V4: usize = 15;

/// Shortest textual IPv6 address of a host, `fd00::`, and longest, with an embedded IPv4 address.
const SHORTEST_V6: usize = 6;
const LONGEST_V6: usize = 45;

/// The end of an IPv4 address that begins at `start`, where a digit stands.
pub(crate) fn v4(text: &[u8], start: usize) -> Option<usize> {
    let (address, end) = dotted(text, start)?;
    (is_host_v4(address)
        && is_apart(text, start, end)
        && !is_product_version(text, start)
        && !is_numbering(text, start)
        && !is_in_drawing(text, start, end))
    .then_some(end)
}

/// Four numbers with points between, and where they end.
fn dotted(text: &[u8], start: usize) -> Option<(Ipv4Addr, usize)> {
    let length =
        text[start..].iter().take(LONGEST_V4 + 1).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let number = core::str::from_utf8(&text[start..start + length]).ok()?.trim_end_matches('.');
    Some((number.parse().ok()?, start + number.len()))
}

fn is_host_v4(address: Ipv4Addr) -> bool {
    !matches!(address.octets(), [0 | 255, ..]) && !address.is_loopback()
}

/// No part of a word or of a longer number, not joined to a word by a dash; to another address it may be.
fn is_apart(text: &[u8], start: usize, end: usize) -> bool {
    let joined_before = match byte_before(text, start) {
        Some(b'.') => start >= 2 && is_word_before(text, start - 1),
        Some(b'-') => start >= 2 && is_word_before(text, start - 1) && !is_dotted_before(text, start - 1),
        _ => is_word_before(text, start),
    };
    let joined_after = match byte(text, end) {
        Some(b'-') => is_word(byte(text, end + 1)) && dotted(text, end + 1).is_none(),
        _ => is_word_behind(text, end),
    };
    !joined_before && !joined_after
}

/// Whether four numbers with points between end at `end`.
fn is_dotted_before(text: &[u8], end: usize) -> bool {
    let before = text[..end].iter().rev().take(LONGEST_V4 + 1);
    let length = before.take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    dotted(text, end - length).is_some_and(|(_, found)| found == end)
}

/// `Chrome/120.0.0.0`; but in `db.internal/10.1.2.3` and `/ip/10.1.2.3` the word is part of a name or path.
fn is_product_version(text: &[u8], start: usize) -> bool {
    const LONGEST_PRODUCT: usize = 32;
    let Some(before) = text[..start].strip_suffix(b"/") else { return false };
    let product = before.iter().rev().take(LONGEST_PRODUCT).take_while(|byte| is_word(Some(**byte)) || **byte == b'-');
    let length = product.count();
    length > 0 && !matches!(byte_before(before, before.len() - length), Some(b'.' | b'/'))
}

/// `version 1.2.3.4`, `FileVersion="1.2.3.4"`, `section 4.3.2.1`, `§ 4.3.2.1`.
fn is_numbering(text: &[u8], start: usize) -> bool {
    let before = &text[..start];
    let is_named =
        || name_before(text, start).is_some_and(|name| ends_with(name, b"version") || is_any(name, NUMBERINGS));
    before.strip_suffix(b" ").unwrap_or(before).ends_with("§".as_bytes()) || is_version_name(text, start) || is_named()
}

/// Behind `version_name` or `versionName`.
fn is_version_name(text: &[u8], start: usize) -> bool {
    const REACH: usize = 32;
    let before = &text[start.saturating_sub(REACH)..start];
    let marks = before.iter().rev().take_while(|byte| !is_word(Some(**byte))).count();
    let name = &before[..before.len() - marks];
    ends_with(name, b"version_name") || ends_with(name, b"versionName")
}

/// `1.52-.87 2.83-2.12 3.51.98.32 2.03.5`, a path's numbers and letters, between which stands only what must. A minus that
/// is joined to a fraction without its zero shows one, where there are more fractions than its two.
fn is_in_drawing(text: &[u8], start: usize, end: usize) -> bool {
    const REACH: usize = 24;
    let is_letter =
        |byte: u8| matches!(byte | 0x20, b'm' | b'l' | b'h' | b'v' | b'c' | b's' | b'q' | b't' | b'a' | b'z');
    let belongs = |byte: &&u8| matches!(**byte, b'0'..=b'9' | b'.' | b',' | b'-' | b' ') || is_letter(**byte);
    let before = text[..start].iter().rev().take(REACH).take_while(belongs).count();
    let after = text[end..].iter().take(REACH).take_while(belongs).count();
    let is_joined = |four: &[u8]| matches!(four, [number, b'-', b'.', b'0'..=b'9'] if number.is_ascii_alphanumeric());
    let has_joined = |from: usize, to: usize| {
        let mut places = text[from..to].windows(4).enumerate();
        places.any(|(at, four)| is_joined(four) && !is_range(text, from + at + 1))
    };
    let points = |from: usize, to: usize| text[from..to].iter().filter(|byte| **byte == b'.').count();
    (has_joined(start - before, start) || has_joined(end - 1, end + after))
        && points(start - before, start) + points(end, end + after) > 2
}

/// Whether the minus there is one of `10.1.2.3-.20, .30-.40`, ranges of addresses.
fn is_range(text: &[u8], minus: usize) -> bool {
    let digits = text[..minus].iter().rev().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    let before = &text[..minus - digits];
    is_dotted_before(text, minus) || before.ends_with(b" .") || before.ends_with(b",.")
}

/// The IPv6 address around the first colon of a run of hexadecimal digits and colons: `Ok(start, end)`, or `Err(end)`
/// of the run if it is none. It does not begin before `from`.
pub(crate) fn v6(text: &[u8], colon: usize, from: usize) -> Result<(usize, usize), usize> {
    let belongs = |byte: &&u8| byte.is_ascii_hexdigit() || **byte == b':' || **byte == b'.';
    let before = text[from..colon].iter().rev().take(LONGEST_V6).take_while(belongs).count();
    let run_end = colon + text[colon..].iter().take_while(belongs).count();
    let dots = text[colon..run_end].iter().rev().take_while(|byte| **byte == b'.').count();
    // What stands before the colon may also be a name: `node:2001:db8::1`.
    let starts = [colon - before, colon + 1];
    starts.into_iter().find_map(|start| address(text, start, run_end - dots)).ok_or(run_end)
}

/// The address between `start` and `end`, without a single colon at either end, which belongs to the sentence.
fn address(text: &[u8], mut start: usize, mut end: usize) -> Option<(usize, usize)> {
    if byte(text, start) == Some(b':') && (byte(text, start + 1) != Some(b':') || byte(text, start + 2) == Some(b':')) {
        start += 1;
    }
    if end > start + 1 && text[end - 1] == b':' && text[end - 2] != b':' {
        end -= 1;
    }
    let run = text.get(start..end).filter(|run| (SHORTEST_V6..=LONGEST_V6).contains(&run.len()))?;
    let address = core::str::from_utf8(run).ok()?.parse().ok()?;
    (is_host(&address) && !is_word_before(text, start) && !is_word_behind(text, end)).then_some((start, end))
}

/// In a range from which hosts get addresses. `a::b` and `Face::add` are valid addresses, too, and program text.
fn is_host(address: &Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    address.to_ipv4_mapped().is_some_and(is_host_v4)
        || matches!(first, 0x2000..=0x3fff | 0xfc00..=0xfdff | 0xfe80..=0xfebf)
        || (first == 0x64 && second == 0xff9b)
}

#[cfg(test)]
mod tests {
    use crate::Rule::IpAddress;
    use crate::support::{assert_finds, assert_passes, found};

    #[test]
    fn addresses_of_hosts_are_found() {
        for address in [
            "192.168.1.10",
            "8.8.8.8",
            "203.0.113.254",
            "2001:db8::1",
            "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
            "fe80::1ff:fe23:4567:890a",
            "fd12:3456:789a:1::1",
            "::ffff:192.168.1.10",
            "64:ff9b::192.0.2.33",
        ] {
            assert_finds(IpAddress, address);
        }
    }

    #[test]
    fn what_stands_around_an_address_stays() {
        for (text, address) in [
            ("http://10.1.2.3:8080/x", "10.1.2.3"),
            ("10.1.2.3/24", "10.1.2.3"),
            ("db01.internal/10.1.2.3:5432", "10.1.2.3"),
            ("https://x.org/ip/8.8.8.8", "8.8.8.8"),
            ("The build failed on 10.1.2.3", "10.1.2.3"),
            ("Deploy the release to 10.1.2.3", "10.1.2.3"),
            ("It is 10.1.2.3.", "10.1.2.3"),
            ("http://[2001:db8::1]:80/", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("2001:db8::1: unreachable", "2001:db8::1"),
            ("It is 2001:db8::1.", "2001:db8::1"),
            ("node:2001:db8::1", "2001:db8::1"),
            ("db:2001:db8::1", "2001:db8::1"),
            ("_Server 10.1.2.3_", "10.1.2.3"),
            ("__10.1.2.3__", "10.1.2.3"),
            (r"\n_10.1.2.3_", "10.1.2.3"),
            ("_2001:db8::1_", "2001:db8::1"),
        ] {
            assert_eq!(found(IpAddress, text), [address], "{text}");
        }
    }

    #[test]
    fn an_address_is_found_among_decimals_and_behind_names() {
        for text in [
            "0.004 10.1.2.3 0.003",
            "1715524211.25,10.1.2.3,0.03",
            "06.05.2024 10.1.2.3 0.3",
            "0.5-0.7 10.1.2.3 GET",
            "ARP table: 10.1.2.3",
            "step 1: 10.1.2.3",
            "Table 1 10.1.2.3",
            "RFC 1918: 10.1.2.3",
            r#"{"version":"2","name":"10.1.2.3"}"#,
            "server_name 10.1.2.3",
            "routing table 10.1.2.3",
            "Routing Table 10.1.2.3",
            "DNS Table 10.1.2.3",
            "Next Step 10.1.2.3",
            "arp table 10.1.2.3 is stale",
            "ARP TABLE 10.1.2.3",
            "Ping the next step 10.1.2.3",
            "web01,7.4.2,10.1.2.3,1.24.0,ok",
            "5.15.0,10.1.2.3,2.0.1",
            "kernel 5.4.0 10.1.2.3 1.24",
            "linux 5.4.0-42.1 10.1.2.3 1.24",
            "nginx/1.2.3 10.1.2.3 2.0.1",
            "06.05.24 10.1.2.3 0.3",
            "24.12.23,10.1.2.3,12.50",
            ".5 10.1.2.3 -.7",
            "DHCP pools: 10.1.2.3-.20, .30-.40",
            "10.1.2.3-.9,.20-.29, .30-.32",
            "peer 10.1.2.3 0.5-.7",
            "0.5-0.7 10.1.2.3 0.2-0.3",
        ] {
            assert_eq!(found(IpAddress, text), ["10.1.2.3"], "{text}");
        }
        assert_eq!(found(IpAddress, "1.1.1.1 10.1.2.3 2.83-2.12"), ["1.1.1.1", "10.1.2.3"]);
    }

    #[test]
    fn both_ends_of_a_range_are_found() {
        for text in ["192.168.1.10-192.168.1.20", "192.168.1.10-.12, 192.168.1.20"] {
            assert_eq!(found(IpAddress, text), ["192.168.1.10", "192.168.1.20"], "{text}");
        }
    }

    #[test]
    fn versions_times_and_program_text_pass() {
        assert_passes(
            IpAddress,
            &[
                "1.2.3",
                "v1.2.3.4",
                "version 1.2.3.4",
                "The version number is 1.2.3.4",
                "AssemblyVersion(\"1.0.0.0\")",
                "<FileVersion>1.2.3.4</FileVersion>",
                "newVersion=\"13.0.0.0\"",
                "Mobile-Safari/604.1.2.3",
                "build-1.2.3.4",
                "1.2.3-1.2.3.4",
                "::ffff:127.0.0.1",
                "10.0.19041.1",
                "Chrome/120.0.0.0",
                "1.2.3.4.5",
                "256.1.1.1",
                "127.0.0.1",
                "0.0.0.0",
                "255.255.255.0",
                "1.2.3.4-beta",
                "tool_1.2.3.4_amd64.deb",
                "tool__1.2.3.4",
                "tool____1.2.3.4",
                "1.2.3.4____rc",
                "1.2.3.4_rc",
                "section 4.3.2.1",
                "RFC 9110 §8.8.3.2",
                "§ 8.8.3.2",
                "OID 2.5.4.3",
                r#"{"oid":"2.5.4.3"}"#,
                "version_name: 1.0.2.94",
                "versionName \"1.0.2.94\"",
                "c0 1.52-.87 2.83-2.12 3.51.98.32 2.03.5 3.11.5",
                "c-.6,3.38.85.9,3.79-2.08",
                "l.3-.4 3.38.85.9,3.79-2.08",
                "12:34:56",
                "::1",
                "std::vec",
                "Face::add",
                "a::b",
                "00:1a:2b:3c:4d:5e",
                "00:11:22:33:44:55:66:77",
                "::::::::",
            ],
        );
    }
}
