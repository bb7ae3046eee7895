//! `POST /v1/moderations` and `/v1/chat/moderations`. A text is flagged with the categories it names as
//! `moderate:CATEGORY`, so that a person or a test decides what is found.

use double::array;
use serde_json::{Map, Value, json};

use crate::conversation;
use crate::refusal::request_id;
use crate::tokens;

/// The categories of `mistral-moderation-2603`.
const CATEGORIES: [&str; 11] = [
    "sexual",
    "hate_and_discrimination",
    "violence_and_threats",
    "dangerous",
    "criminal",
    "selfharm",
    "health",
    "financial",
    "law",
    "pii",
    "jailbreaking",
];

/// The answer about texts, and its token count.
pub(crate) fn of_texts(body: &Value) -> (Value, u64) {
    let texts = match &body["input"] {
        Value::Array(inputs) => inputs.iter().map(|input| input.as_str().unwrap_or_default().to_owned()).collect(),
        input => vec![input.as_str().unwrap_or_default().to_owned()],
    };
    answer(body, &texts)
}

/// The answer about conversations, and its token count.
pub(crate) fn of_conversations(body: &Value) -> (Value, u64) {
    let inputs = array(&body["input"]);
    let texts: Vec<String> = if inputs.iter().any(Value::is_array) {
        inputs.iter().map(|conversation| joined(array(conversation))).collect()
    } else {
        vec![joined(inputs)]
    };
    answer(body, &texts)
}

fn joined(messages: &[Value]) -> String {
    let texts: Vec<_> = messages.iter().map(conversation::text).collect();
    texts.join("\n")
}

fn answer(body: &Value, texts: &[String]) -> (Value, u64) {
    let total: u64 = texts.iter().map(|text| tokens::count(text)).sum();
    let results: Vec<Value> = texts.iter().map(|text| result(text)).collect();
    let answer = json!({
        "id": request_id(),
        "model": body["model"],
        "results": results,
        "usage": { "prompt_tokens": total, "completion_tokens": 0, "total_tokens": total },
    });
    (answer, total)
}

fn result(text: &str) -> Value {
    let mut categories = Map::new();
    let mut scores = Map::new();
    for category in CATEGORIES {
        let named = names(text, category);
        categories.insert(category.to_owned(), named.into());
        scores.insert(category.to_owned(), if named { 0.97 } else { 0.000_1 }.into());
    }
    json!({ "categories": categories, "category_scores": scores })
}

fn names(text: &str, category: &str) -> bool {
    text.split("moderate:").skip(1).any(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(rest.len());
        &rest[..end] == category
    })
}
