//! About what JSON takes in memory once it is read, beside its text.
//!
//! The numbers are of a value and of the one clone that is made of a request on its way, as an allocator counts them. The
//! text of keys and strings is not among them: it is no longer than the JSON.

use serde_json::{Map, Value};

use super::outside_strings;

/// JSON values in one text at most: read, each of two bytes may take many times that in memory.
pub(crate) const MOST_VALUES: usize = 250_000;

/// An object: a map begins with room for eleven entries.
const OBJECT: usize = 1_280;
/// What an entry of an object takes more than a value of a list: maps that grow are half empty, and each key is an
/// allocation.
const ENTRY: usize = 128;
/// A list with its first values: it begins with room for four.
const LIST: usize = 192;
/// Each value behind the first of a list or an object. Lists double when they grow, and a short text is an allocation.
const VALUE: usize = 160;

/// What is in a text of JSON.
pub(crate) struct Room {
    /// Values, about: brackets that open, and commas.
    pub(crate) values: usize,
    /// Bytes that they take.
    pub(crate) bytes: usize,
}

impl Room {
    /// What an entry of a map takes beside its key and its value.
    pub(crate) const ENTRY: usize = ENTRY + VALUE;

    /// Of JSON that is not read yet.
    pub(crate) fn of_text(json: &[u8]) -> Self {
        let (mut values, mut bytes) = (0, 0);
        for byte in outside_strings(json) {
            let (value, room) = match byte {
                b'{' => (1, OBJECT),
                b'[' => (1, LIST),
                b',' => (1, VALUE),
                b':' => (0, ENTRY),
                _ => continue,
            };
            values += value;
            bytes += room;
        }
        Self { values, bytes }
    }

    /// The bytes that a value takes.
    pub(crate) fn of_value(value: &Value) -> usize {
        match value {
            Value::Object(entries) => Self::of_entries(entries),
            Value::Array(values) => LIST + values.iter().map(|value| VALUE + Self::of_value(value)).sum::<usize>(),
            _ => 0,
        }
    }

    /// The bytes that an object takes.
    pub(crate) fn of_entries(entries: &Map<String, Value>) -> usize {
        OBJECT + entries.values().map(|value| ENTRY + VALUE + Self::of_value(value)).sum::<usize>()
    }
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
            assert_eq!(Room::of_text(json.as_bytes()).values, expected, "{json}");
        }
    }

    #[test]
    fn what_is_read_takes_about_the_room_that_its_text_told() {
        for json in ["{}", "[0]", r#"{"a":[1,2,{"b":null}]}"#, r#"[[],[{}],{"a":{},"b":"c"}]"#] {
            let (told, read) = (Room::of_text(json.as_bytes()), serde_json::from_str(json).unwrap());
            let (least, most) = (told.bytes, told.bytes + VALUE * (told.values + 1));
            assert!((least..=most).contains(&Room::of_value(&read)), "{json}");
        }
    }
}
