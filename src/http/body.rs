//! Request bodies: bounded in bytes and time, read as JSON whatever the content type says.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::errors::ApiError;
use crate::chat::{MOST_VALUES, Room, whole_characters};
use crate::in_flight::Held;

/// How long a body may pause, and take as a whole. The header time-out covers the head alone.
const PAUSE: Duration = Duration::from_secs(30);
const WHOLE: Duration = Duration::from_secs(300);

/// The bytes that the JSON values of one body may take in memory beside their text.
const MOST_ROOM: usize = 64 << 20;

/// The longest text of a key path in an error.
const PATH: usize = 120;

/// What some tools of Windows write in front of a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Codings of compressed bodies. Other words, such as that of a character set, are mistaken and do no harm.
const COMPRESSED: [&str; 9] = ["gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "dcb", "dcz"];

fn is_compressed(encoding: &HeaderValue) -> bool {
    let Ok(codings) = encoding.to_str() else { return true };
    codings.split(',').any(|coding| COMPRESSED.iter().any(|it| it.eq_ignore_ascii_case(coding.trim())))
}

/// Reads a request's body, at most `limit` bytes of it, and takes the room for it where the request has its [`Held`].
pub(super) async fn read(head: &Parts, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let headers = &head.headers;
    if headers.get_all(CONTENT_ENCODING).iter().any(is_compressed) {
        return Err(ApiError::Encoded);
    }
    let announced = content_length(headers);
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(ApiError::TooLarge { limit });
    }
    let held = head.extensions.get::<Held>();
    let body = tokio::time::timeout(WHOLE, collect(body, limit, held)).await.map_err(|_| ApiError::Slow)??;
    let Room { values, bytes } = Room::of_text(&body);
    if values > MOST_VALUES {
        return Err(ApiError::body(format!("it holds more than {MOST_VALUES} values")));
    }
    if bytes > MOST_ROOM {
        let most = MOST_ROOM >> 20;
        return Err(ApiError::body(format!("its objects, lists and values would take more than {most} MiB of memory")));
    }
    if let Some(held) = held {
        held.add(bytes)?;
    }
    Ok(body)
}

/// Gives back the room of a request but for so many bytes: once its body is parsed, what came of it says what it takes.
pub(super) fn settle(head: &Parts, bytes: usize) {
    if let Some(held) = head.extensions.get::<Held>() {
        held.settle(bytes);
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Room is taken as bytes come: what is announced alone keeps nobody out.
async fn collect(mut body: Body, limit: usize, held: Option<&Held>) -> Result<Bytes, ApiError> {
    let take = |frame: &Bytes| held.map_or(Ok(()), |held| held.add(frame.len()));
    // Most bodies are one frame, which is taken as it is.
    let Some(first) = next(&mut body).await? else { return Ok(Bytes::new()) };
    take(&first)?;
    if first.len() > limit {
        return Err(ApiError::TooLarge { limit });
    }
    let Some(second) = next(&mut body).await? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    let mut frame = second;
    loop {
        if whole.len() + frame.len() > limit {
            return Err(ApiError::TooLarge { limit });
        }
        take(&frame)?;
        whole.extend_from_slice(&frame);
        match next(&mut body).await? {
            Some(more) => frame = more,
            None => return Ok(whole.freeze()),
        }
    }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        match tokio::time::timeout(PAUSE, body.frame()).await {
            Err(_) => return Err(ApiError::Slow),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(ApiError::Broken),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Reads a JSON object. An error names the key and the place, and repeats nothing of the content.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    mending(bytes, |bytes| parse_borrowed(bytes))
}

/// Reads with `read`, and once more where halves of characters are in the way: JavaScript that cuts a text within an emoji
/// writes one (`\ud83d`). In their place stands what other languages put there, U+FFFD, for policies and models alike.
pub(super) fn mending<T>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<T, ApiError>) -> Result<T, ApiError> {
    match read(bytes) {
        Err(ApiError::Body { problem, .. }) if problem.contains("hex escape") => read(&whole_characters(bytes)),
        other => other,
    }
}

/// The same, into what borrows from the bytes, as they are.
pub(super) fn parse_borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ApiError> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error)),
        Some(_) => Err(ApiError::body("expected a JSON object")),
        None => Err(ApiError::body("it is empty, expected a JSON object")),
    }
}

/// How errors of the types begin that repeat nothing of what they found. The last are of untagged enums, whose
/// `expecting` is the whole error.
const OURS: [&str; 3] = ["missing field", "duplicate field", "expected "];

#[cold]
fn explain<'a, T: Deserialize<'a>>(bytes: &'a [u8], error: &serde_json::Error) -> ApiError {
    if error.classify() != Category::Data {
        // Errors of the syntax are fixed texts with a place.
        return ApiError::body(error.to_string());
    }
    // Errors of the types repeat the value that they found; what was expected stands behind it.
    let text = error.to_string();
    let problem = match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {}", in_json(expected)),
        None if OURS.iter().any(|begins| text.starts_with(begins)) => text,
        None => format!("a value that cannot be at line {} column {}", error.line(), error.column()),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let field = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) if error.path().iter().next().is_some() => Some(shown(&error.path().to_string())),
        _ => None,
    };
    ApiError::Body { field, problem: problem.into() }
}

/// A key or a path of such, as errors show it.
fn shown(path: &str) -> String {
    path.chars().filter(|it| !it.is_control()).take(PATH).collect()
}

/// An error of the syntax of a field's value that was read by itself. Its place is one in the value, and not said.
pub(super) fn in_field(name: &str, error: &serde_json::Error) -> ApiError {
    let mut problem = error.to_string();
    problem.truncate(problem.rfind(" at line ").unwrap_or(problem.len()));
    ApiError::Body { field: Some(shown(name)), problem: problem.into() }
}

/// What was expected and where, in the caller's words where it is a type of ours.
fn in_json(expected: &str) -> String {
    let (what, place) = expected.split_at(expected.rfind(" at line ").unwrap_or(expected.len()));
    let what = match what {
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 on",
        "i64" => "a whole number",
        "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        "a boolean" => "true or false",
        what if ["struct ", "internally tagged enum "].iter().any(|kind| what.starts_with(kind)) => "an object",
        what => what,
    };
    format!("{what}{place}")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue, Request};

    use super::*;
    use crate::in_flight::InFlight;

    #[derive(Debug, Deserialize)]
    struct Outer {
        name: Option<String>,
        #[expect(dead_code, reason = "only whether it can be read counts")]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read counts")]
    struct Inner {
        tokens: Option<u32>,
        share: Option<f64>,
        list: Option<Vec<String>>,
        map: Option<std::collections::BTreeMap<String, String>>,
        flag: Option<bool>,
        either: Option<Either>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list")]
    #[expect(dead_code, reason = "only whether it can be read counts")]
    enum Either {
        Text(String),
        List(Vec<String>),
    }

    #[test]
    fn an_error_names_key_and_place_and_repeats_nothing() {
        for (json, expected) in [
            ("", "it is empty, expected a JSON object"),
            (" [\"hidden\"]", "expected a JSON object"),
            ("{\"name\":hidden}", "expected value at line 1 column 9"),
            ("{\"name\":\"hidden\"", "EOF while parsing an object at line 1 column 16"),
            ("{\"name\":{\"hidden\":1}}", "name: expected a string at line 1 column 8"),
            (
                "{\"inner\":{\"tokens\":\"hidden\"}}",
                "inner.tokens: expected a whole number from 0 to 4294967295 at line 1 column 27",
            ),
            (
                "{\"inner\":{\"tokens\":-1}}",
                "inner.tokens: expected a whole number from 0 to 4294967295 at line 1 column 21",
            ),
            ("{\"inner\":{\"share\":\"hidden\"}}", "inner.share: expected a number at line 1 column 26"),
            ("{\"inner\":{\"list\":7}}", "inner.list: expected a list at line 1 column 18"),
            ("{\"inner\":{\"map\":[]}}", "inner.map: expected an object at line 1 column 16"),
            ("{\"inner\":{\"flag\":\"hidden\"}}", "inner.flag: expected true or false at line 1 column 25"),
            ("{\"inner\":{\"either\":7}}", "inner.either: expected a text or a list at line 1 column 21"),
            ("{\"inner\":\"hidden, expected nothing\"}", "inner: expected an object at line 1 column 35"),
            ("{\"name\":\"a\",\"name\":\"b\"}", "duplicate field `name` at line 1 column 18"),
        ] {
            let error = parse::<Outer>(json.as_bytes()).unwrap_err().to_string();
            assert_eq!(error.strip_prefix("Invalid request body: ").unwrap(), expected, "{json}");
            assert!(!error.contains("hidden"), "{error}");
        }
        assert!(parse::<Outer>(b" {\"name\":null,\"other\":[1,2]} ").is_ok());
        assert!(parse::<Outer>("\u{feff}{\"name\":\"a\"}".as_bytes()).is_ok());
    }

    #[test]
    fn half_a_character_is_no_error() {
        for (name, expected) in [
            (r"cut \ud83d", "cut \u{fffd}"),
            (r"\uDE00 cut", "\u{fffd} cut"),
            (r"\ud83d\ude00", "\u{1f600}"),
            (r"\ud83d\ud83d\ude00\ude00", "\u{fffd}\u{1f600}\u{fffd}"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\\ud83d \ud83d", "\\ud83d \u{fffd}"),
            (r"\ud83d\\ude00", "\u{fffd}\\ude00"),
        ] {
            let body = format!(r#"{{"name":"{name}"}}"#);
            assert_eq!(parse::<Outer>(body.as_bytes()).unwrap().name.unwrap(), expected, "{name}");
        }
        for name in [r"\ud83", r"\ud83x", r"\ud83d\"] {
            let body = format!(r#"{{"name":"{name}"}}"#);
            assert!(parse::<Outer>(body.as_bytes()).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused_by_name() {
        for (encoding, refused) in
            [("gzip", true), ("identity, BR", true), ("dcz", true), ("Identity", false), ("utf-8", false), ("", false)]
        {
            let read = read(&head(&[(CONTENT_ENCODING, encoding)], None), Body::from("{}"), 8).await;
            assert_eq!(matches!(read, Err(ApiError::Encoded)), refused, "{encoding}");
        }
    }

    fn head(headers: &[(HeaderName, &'static str)], held: Option<Held>) -> Parts {
        let mut head = Request::new(()).into_parts().0;
        head.headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        if let Some(held) = held {
            head.extensions.insert(held);
        }
        head
    }

    #[tokio::test]
    async fn a_body_ends_at_its_limit() {
        for (sent, limit, read_to_end) in [(0, 8, true), (8, 8, true), (9, 8, false), (70_000, 65_536, false)] {
            let frames = futures_util::stream::iter(
                vec![b'x'; sent].chunks(7).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>(),
            );
            let read = read(&head(&[], None), Body::from_stream(frames), limit).await;
            assert_eq!(read.map(|it| it.len()).ok(), read_to_end.then_some(sent), "{sent} of {limit}");
            let whole = super::read(&head(&[], None), Body::from(vec![b'x'; sent]), limit).await;
            assert_eq!(whole.is_ok(), read_to_end);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let frames = |every: Duration| {
            Body::from_stream(futures_util::stream::unfold((), move |()| async move {
                tokio::time::sleep(every).await;
                Some((Ok::<_, std::io::Error>("x"), ()))
            }))
        };
        for (body, limit, waited) in [
            (Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>()), 8, PAUSE),
            (frames(PAUSE + Duration::from_secs(1)), 8, PAUSE),
            (frames(PAUSE - Duration::from_secs(1)), 1_000, WHOLE),
        ] {
            let begun = tokio::time::Instant::now();
            let error = read(&head(&[], None), body, limit).await.unwrap_err();
            assert!(matches!(error, ApiError::Slow), "{error:?}");
            assert_eq!(begun.elapsed(), waited);
        }
    }

    #[tokio::test]
    async fn an_announced_length_over_the_limit_is_refused_unread() {
        let head = head(&[(CONTENT_LENGTH, "9")], None);
        assert!(matches!(read(&head, Body::from("short"), 8).await, Err(ApiError::TooLarge { limit: 8 })));
    }

    #[tokio::test]
    async fn many_small_values_take_the_room_that_they_need() {
        let in_flight = InFlight::new(1 << 30);
        let read = async |repeated: &str, times: usize| {
            let head = head(&[], Some(in_flight.hold()));
            let body = format!("[{}0]", repeated.repeat(times - 1));
            let read = read(&head, Body::from(body), usize::MAX).await;
            read.map(|_| in_flight.held()).map_err(|error| error.to_string())
        };
        let room = read("0,", MOST_VALUES).await.unwrap();
        assert!((32 * MOST_VALUES..MOST_ROOM).contains(&room), "{room}");
        let nested = read("[{}],", MOST_VALUES / 8).await.unwrap();
        assert!(nested > room, "{nested}");
        for (repeated, times, says) in [
            ("0,", MOST_VALUES + 1, "it holds more than 250000 values"),
            ("{},", MOST_VALUES / 2, "its objects, lists and values would take more than 64 MiB of memory"),
        ] {
            assert_eq!(read(repeated, times).await.unwrap_err(), format!("Invalid request body: {says}"));
        }
        assert_eq!(in_flight.held(), 0);
    }

    #[tokio::test]
    async fn a_body_takes_the_room_of_what_has_come() {
        let in_flight = InFlight::new(10);
        for (announced, sent, fits) in [
            (Some("10"), 10, true),
            (Some("90"), 3, true),
            (Some("11"), 11, false),
            (None, 10, true),
            (None, 11, false),
        ] {
            let held = in_flight.hold();
            let length: Vec<_> = announced.map(|length| (CONTENT_LENGTH, length)).into_iter().collect();
            let read = read(&head(&length, Some(held.clone())), Body::from(vec![b'x'; sent]), 100).await;
            match fits {
                true => assert_eq!((read.unwrap().len(), in_flight.held()), (sent, sent)),
                false => assert!(matches!(read, Err(ApiError::Full(_))), "{announced:?} {sent}"),
            }
            drop(held);
            assert_eq!(in_flight.held(), 0);
        }
    }
}
