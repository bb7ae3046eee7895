//! What a request may say of an image: nothing that could be a text beside it, since policies cannot look inside.

/// The longest address. One is never cut, and fetched by the provider, not by the gateway.
const ADDRESS: usize = 8 << 10;

/// The longest type, such as `image/png`.
const TYPE: usize = 64;

/// An http or https address.
pub(super) fn is_address(url: &str) -> bool {
    let is_http = url.starts_with("https://") || url.starts_with("http://");
    is_http && url.len() <= ADDRESS && !url.chars().any(char::is_control)
}

/// An address, or `data:image/TYPE;base64,...`.
pub(super) fn is_image(url: &str) -> bool {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    inline.map_or_else(|| is_address(url), |(media_type, content)| is_type(media_type) && is_base64(content))
}

/// The type of an image, without parameters.
pub(super) fn is_type(media_type: &str) -> bool {
    let format = media_type.strip_prefix("image/").unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    !format.is_empty() && media_type.len() <= TYPE && format.bytes().all(fits)
}

/// Something in base 64, of either alphabet.
pub(super) fn is_base64(data: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    !data.is_empty() && data.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_are() {
        let long = format!("data:image/{};base64,AA==", "a".repeat(TYPE));
        for (url, expected) in [
            ("https://example.org/a.png?b=c d", true),
            ("data:image/png;base64,aGk=", true),
            ("data:image/svg+xml;base64,_-8=", true),
            ("data:image/png;name=Jane;base64,aGk=", false),
            ("data:image/png 4111 1111 1111 1111;base64,aGk=", false),
            ("data:image/png;base64,not base 64", false),
            ("data:image/png,hi", false),
            ("data:text/html;base64,aGk=", false),
            (&long, false),
            ("https://example.org/\u{1b}[31m", false),
            (&format!("https://example.org/{}", "a".repeat(ADDRESS)), false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(is_image(url), expected, "{url:.60}");
        }
    }
}
