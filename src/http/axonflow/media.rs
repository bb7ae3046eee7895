//! `media`: images beside the query, which become parts of the user's message.
//!
//! Policies see that they are there, their type and size; the record says that nobody looked inside.

use serde::Deserialize;

use crate::chat::{Object, Part};
use crate::http::{ApiError, image};

/// One item, in the words of any SDK: Rust's writes `base64` and `type`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Media {
    source: Option<String>,
    #[serde(alias = "base64")]
    base64_data: Option<String>,
    url: Option<String>,
    mime_type: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// The items as parts, in their order.
pub(super) fn parts(media: Vec<Object<Media>>) -> Result<Vec<Part>, ApiError> {
    media.into_iter().enumerate().map(|(index, Object(item))| part(index, item)).collect()
}

fn part(index: usize, media: Media) -> Result<Part, ApiError> {
    let wrong = |field: &str, problem: &'static str| Err(ApiError::field(format!("media[{index}].{field}"), problem));
    let by_url = match media.source.as_deref() {
        Some("base64") => false,
        Some("url") => true,
        None => media.base64_data.is_none(),
        Some(_) => return wrong("source", "expected `base64` or `url`"),
    };
    if by_url {
        let url = media.url.unwrap_or_default();
        if !image::is_address(&url) {
            return wrong("url", "expected an http or https URL");
        }
        return Ok(Part::Image { url, detail: None });
    }
    let data = media.base64_data.unwrap_or_default();
    if !image::is_base64(&data) {
        return wrong("base64_data", "expected base64");
    }
    let Some(mime_type) = media.mime_type.or(media.kind.filter(|kind| kind.contains('/'))) else {
        return wrong("mime_type", "expected the type of the image, such as image/png");
    };
    if !image::is_type(&mime_type) {
        return wrong("mime_type", "expected the type of an image, such as image/png");
    }
    Ok(Part::Image { url: format!("data:{mime_type};base64,{data}"), detail: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Part>, String> {
        parts(serde_json::from_str(json).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn images_become_parts() {
        let json = r#"[{"source":"base64","base64_data":"iVBORw0=","url":null,"mime_type":"image/png"},
            {"source":"url","url":"https://example.org/a.png","mime_type":"image/png"},
            {"id":"1","type":"image/jpeg","base64":"/9j/"}]"#;
        let urls = ["data:image/png;base64,iVBORw0=", "https://example.org/a.png", "data:image/jpeg;base64,/9j/"];
        assert_eq!(read(json).unwrap(), urls.map(|url| Part::Image { url: url.into(), detail: None }));
    }

    #[test]
    fn what_is_no_image_is_named() {
        assert!(serde_json::from_str::<Vec<Object<Media>>>(r#"[["url",null,"https://example.org/a.png"]]"#).is_err());
        for (json, expected) in [
            (r#"[{}]"#, "media[0].url"),
            (r#"[{"source":"file","url":"/etc/passwd"}]"#, "media[0].source"),
            (r#"[{"source":"url","url":"file:///etc/passwd"}]"#, "media[0].url"),
            (r#"[{"source":"base64","base64_data":"not base64","mime_type":"image/png"}]"#, "media[0].base64_data"),
            (r#"[{"source":"base64","base64_data":"AAAA"}]"#, "media[0].mime_type"),
            (r#"[{"source":"base64","base64_data":"AAAA","mime_type":"text/html"}]"#, "media[0].mime_type"),
            (r#"[{"source":"base64","base64_data":"AAAA","mime_type":"image/png;x="}]"#, "media[0].mime_type"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.starts_with(expected), "{json}: {error}");
        }
    }
}
