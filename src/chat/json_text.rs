//! JSON as it is written, where reading it would cost more than looking at it, or would lose what is looked for.

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
