//! What a model thought, bound to what stood before it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use double::array;
use serde_json::{Value, json};

use crate::SIGNATURE;

/// Whether a model's thoughts are bound.
fn binds(model: &Value) -> bool {
    model == "claude-opus-5-5"
}

/// The signature behind these messages of a request.
fn signature(body: &Value, messages: &[Value]) -> String {
    let mut hasher = DefaultHasher::new();
    json!([body["system"], body["tools"], messages]).to_string().hash(&mut hasher);
    format!("{SIGNATURE}.{:016x}", hasher.finish())
}

/// The blocks of an answer to a request, with the signatures that hold behind it.
pub(crate) fn signed(content: &Value, body: &Value) -> Value {
    let mut content = content.clone();
    let bound = signature(body, array(&body["messages"]));
    for block in content.as_array_mut().into_iter().flatten().filter(|_| binds(&body["model"])) {
        for field in ["signature", "data"] {
            if block[field] == SIGNATURE {
                block[field] = json!(bound);
            }
        }
    }
    content
}

/// Whether what holds here is this signature, of a block in the turn behind so many.
pub(crate) fn holds(said: &Value, body: &Value, turns: usize) -> bool {
    let Some(said) = said.as_str() else { return false };
    let bound = |_: &str| said == signature(body, array(&body["messages"]).get(..turns).unwrap_or_default());
    said == SIGNATURE || said.strip_prefix(SIGNATURE).is_some_and(|it| !binds(&body["model"]) || bound(it))
}
