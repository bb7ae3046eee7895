//! Vectors in the encoding that was asked for: some servers ignore the wish, and a client that asked for base64 takes a
//! list for base64 and reads numbers that nobody wrote.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::to_raw_value;

use crate::chat::{Json, VectorForm};
use crate::provider::ProviderError;

/// A vector as the caller asked for it. Of whole numbers and bits only the vendor knows how it packs them: those stay as
/// they are.
pub(super) fn encoded(vector: Json, form: &VectorForm) -> Result<Json, ProviderError> {
    let is_text = vector.get().starts_with('"');
    if !is_text && !vector.get().starts_with('[') {
        return Err(no_vector());
    }
    if form.dtype.as_deref().is_some_and(|dtype| dtype != "float") {
        return Ok(vector);
    }
    let raw = match form.encoding.as_deref() {
        Some("base64") if !is_text => to_raw_value(&packed(vector.get()).ok_or_else(no_vector)?),
        None | Some("float") if is_text => to_raw_value(&unpacked(vector.get()).ok_or_else(no_vector)?),
        _ => return Ok(vector),
    };
    raw.map(Json::from).map_err(|_| no_vector())
}

fn no_vector() -> ProviderError {
    ProviderError::malformed("a vector of the upstream's answer is neither a list of numbers nor base64 of such")
}

/// A list of numbers as base64 of their bytes, each 32 bits wide and the lowest byte first.
fn packed(list: &str) -> Option<String> {
    let numbers: Vec<f32> = serde_json::from_str(list).ok()?;
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Some(STANDARD.encode(bytes))
}

/// The reverse.
fn unpacked(text: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(serde_json::from_str::<String>(text).ok()?).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (rest.is_empty() && numbers.iter().all(|number| number.is_finite())).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(dtype: Option<&str>, encoding: Option<&str>) -> VectorForm {
        let [dtype, encoding] = [dtype, encoding].map(|word| word.map(str::to_owned));
        VectorForm { dtype, encoding, ..VectorForm::default() }
    }

    #[test]
    fn a_vector_has_the_encoding_that_was_asked_for() {
        let (list, text) = ("[0.5,-1.0,1e-3]", "\"AAAAPwAAgL9vEoM6\"");
        for (asked, came, expected) in [
            (form(None, Some("base64")), list, text),
            (form(Some("float"), Some("base64")), list, text),
            (form(None, Some("base64")), text, text),
            (form(None, None), text, "[0.5,-1.0,0.001]"),
            (form(None, Some("float")), text, "[0.5,-1.0,0.001]"),
            (form(None, None), list, list),
            (form(Some("int8"), Some("base64")), "[1,2]", "[1,2]"),
            (form(Some("ubinary"), None), text, text),
        ] {
            let came: Json = serde_json::from_str(came).unwrap();
            assert_eq!(encoded(came.clone(), &asked).unwrap().get(), expected, "{asked:?} {came:?}");
        }
    }

    #[test]
    fn what_is_no_vector_is_never_encoded() {
        for (encoding, came) in [
            (None, r#""AAA""#),
            (None, r#""AAAAAAA=""#),
            (None, r#""AADAfw==""#),
            (Some("base64"), r#"["a"]"#),
            (Some("base64"), "{}"),
            (None, "null"),
            (Some("float"), "7"),
        ] {
            assert!(encoded(serde_json::from_str(came).unwrap(), &form(None, encoding)).is_err(), "{came}");
        }
        assert!(encoded(serde_json::from_str("null").unwrap(), &form(Some("int8"), None)).is_err());
    }
}
