//! Images that stand in a request itself.

use crate::chat::Detail;

/// An image as `data:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inline<'a> {
    /// Such as `image/png`.
    pub(crate) media_type: &'a str,
    /// In base 64.
    pub(crate) content: &'a str,
}

/// The image in `data:image/png;base64,...`; none for an address and for other encodings.
pub(crate) fn inline(url: &str) -> Option<Inline<'_>> {
    let (head, content) = url.strip_prefix("data:")?.split_once(',')?;
    let described = head.strip_suffix(";base64")?;
    let media_type = described.split(';').next().filter(|media_type| !media_type.is_empty())?;
    Some(Inline { media_type, content })
}

/// Whether something is asked for that a vendor without such a field would not do anyway.
pub(crate) fn asks(detail: Option<Detail>) -> bool {
    matches!(detail, Some(Detail::Low | Detail::High))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base_64_is_inline() {
        for (url, expected) in [
            ("data:image/png;base64,aGk=", Some(("image/png", "aGk="))),
            ("data:image/jpeg;charset=x;base64,aGk=", Some(("image/jpeg", "aGk="))),
            ("data:image/png,hi", None),
            ("data:;base64,aGk=", None),
            ("data:image/png;base64", None),
            ("https://example.com/a.png", None),
        ] {
            assert_eq!(inline(url).map(|it| (it.media_type, it.content)), expected, "{url}");
        }
    }
}
