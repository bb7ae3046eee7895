//! The caps of the embeddings endpoint: code 3210.

use serde_json::Value;

use crate::models::Model;
use crate::refusal::Refusal;
use crate::tokens;

/// Inputs in one request.
const MOST_INPUTS: usize = 512;
/// Tokens over all inputs of one request.
const MOST_TOKENS: u64 = 16_384;

pub(super) fn meaning(model: &Model, body: &Value) -> Result<(), Refusal> {
    if !body["output_dimension"].is_null() && !model.id.starts_with("codestral-embed") {
        return Err(Refusal::arguments("output_dimension is not supported for this model"));
    }
    let inputs = match &body["input"] {
        Value::Array(inputs) => inputs.as_slice(),
        input => std::slice::from_ref(input),
    };
    if inputs.len() > MOST_INPUTS {
        return Err(Refusal::prompt("Too many inputs in request, split into more batches."));
    }
    let mut total = 0;
    for (index, input) in inputs.iter().enumerate() {
        let count = tokens::count(input.as_str().unwrap_or_default());
        if count > model.context_length {
            let most = model.context_length;
            return Err(Refusal::prompt(format!("Input id {index} has {count} tokens, exceeding max {most} tokens.")));
        }
        total += count;
    }
    if total > MOST_TOKENS {
        return Err(Refusal::prompt("Too many tokens overall, split into more batches."));
    }
    Ok(())
}
