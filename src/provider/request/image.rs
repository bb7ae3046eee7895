//! Images that stand in a request itself.

use crate::chat::Detail;

/// An image as `data:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inline<'a> {
    /// Such as `image/png`, in small letters where it is one that vendors know.
    pub(crate) media_type: &'a str,
    /// In base 64.
    pub(crate) content: &'a str,
}

/// What vendors know, and what it may be called, whatever its case.
const KNOWN: [(&str, &str); 5] = [
    ("image/jpeg", "image/jpeg"),
    // No registered type, but what the files are called.
    ("image/jpg", "image/jpeg"),
    ("image/png", "image/png"),
    ("image/gif", "image/gif"),
    ("image/webp", "image/webp"),
];

/// The image in `data:image/png;base64,...`; none for an address and for other encodings.
pub(crate) fn inline(url: &str) -> Option<Inline<'_>> {
    let (head, content) = url.strip_prefix("data:")?.split_once(',')?;
    let described = head.strip_suffix(";base64")?;
    let media_type = described.split(';').next().filter(|media_type| !media_type.is_empty())?;
    let known = KNOWN.iter().find(|(called, _)| media_type.eq_ignore_ascii_case(called));
    Some(Inline { media_type: known.map_or(media_type, |(_, known)| known), content })
}

/// Whether something is asked for that a vendor without such a field would not do anyway.
pub(crate) fn asks(detail: Option<Detail>) -> bool {
    matches!(detail, Some(Detail::Low | Detail::High))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base_64_is_inline_and_a_known_type_has_one_name() {
        for (url, expected) in [
            ("data:image/png;base64,aGk=", Some(("image/png", "aGk="))),
            ("data:image/jpeg;charset=x;base64,aGk=", Some(("image/jpeg", "aGk="))),
            ("data:image/jpg;base64,aGk=", Some(("image/jpeg", "aGk="))),
            ("data:image/JPG;base64,aGk=", Some(("image/jpeg", "aGk="))),
            ("data:image/WebP;base64,aGk=", Some(("image/webp", "aGk="))),
            ("data:image/heic;base64,aGk=", Some(("image/heic", "aGk="))),
            ("data:image/png,hi", None),
            ("data:;base64,aGk=", None),
            ("data:image/png;base64", None),
            ("https://example.com/a.png", None),
        ] {
            assert_eq!(inline(url).map(|it| (it.media_type, it.content)), expected, "{url}");
        }
    }
}
