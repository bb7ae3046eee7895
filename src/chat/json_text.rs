//! JSON as it is written, where reading it would cost more than looking at it, or would lose what is looked for.

/// JSON values in one text at most: read, each of two bytes may take many times that in memory.
pub(crate) const MOST_VALUES: usize = 250_000;

/// About as many as a text holds: commas, and brackets that open.
pub(crate) fn values(json: &[u8]) -> usize {
    outside_strings(json).filter(|byte| matches!(byte, b'{' | b'[' | b',')).count()
}

/// The bytes outside of strings.
pub(crate) fn outside_strings(json: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = json.iter().copied();
    std::iter::from_fn(move || {
        while let Some(byte) = bytes.next() {
            if byte != b'"' {
                return Some(byte);
            }
            while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                if byte == b'\\' {
                    bytes.next();
                }
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_but_for_what_texts_look_like() {
        for (json, expected) in [
            ("", 0),
            ("{}", 1),
            (r#"{"a":[1,2,{"b":null}]}"#, 5),
            (r#"{"a":"[,\",{","b":"\\"}"#, 2),
            (r#"{"a":"never ends, [,"#, 1),
            ("[[[[", 4),
        ] {
            assert_eq!(values(json.as_bytes()), expected, "{json}");
        }
    }
}
