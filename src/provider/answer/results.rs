//! Vectors and judgements: answers that have one result for each text, in the form that OpenAI and Mistral share.

use serde::Deserialize;

use crate::chat::{ChatAnswer, ChatRequest, Json, Task, Usage};
use crate::provider::ProviderError;
use crate::provider::answer::completion::read_usage;
use crate::provider::answer::{values, vectors};
use crate::provider::upstream::{said, text};

#[derive(Deserialize)]
struct Body {
    id: Option<String>,
    model: Option<String>,
    data: Option<Vec<Vector>>,
    results: Option<Json>,
    usage: Option<Json>,
}

#[derive(Deserialize)]
struct Vector {
    index: Option<u64>,
    embedding: Json,
}

/// Reads the body of an answer with status 200 to a request for the model `asked`, about so many of its texts.
pub(crate) fn parse(
    body: &[u8],
    request: &ChatRequest,
    asked: &str,
    texts: usize,
) -> Result<ChatAnswer, ProviderError> {
    // Vectors stay text: the numbers of a few hundred are more than other answers may hold of values.
    if request.task != Task::Embed {
        values::check(body)?;
    }
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        ProviderError::malformed(&format!(
            "the upstream's answer has no results (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    let usage = body.usage.as_ref().and_then(usage);
    let results = match request.task {
        Task::Embed => of_vectors(body.data.unwrap_or_default(), request),
        _ => Ok(body.results.and_then(|results| serde_json::from_str(results.get()).ok()).unwrap_or_default()),
    };
    // What is of no use was counted all the same.
    let results = results.and_then(|results| counted(results, texts)).map_err(|error| error.with_spent(usage))?;
    Ok(ChatAnswer {
        id: body.id.filter(|id| text::is_token(id)).unwrap_or_default(),
        model: body.model.filter(|model| text::is_token(model)).unwrap_or_else(|| asked.to_owned()),
        results,
        usage,
        ..ChatAnswer::default()
    })
}

fn of_vectors(mut all: Vec<Vector>, request: &ChatRequest) -> Result<Vec<Json>, ProviderError> {
    all.sort_by_key(|vector| vector.index.unwrap_or(0));
    all.into_iter().map(|vector| vectors::encoded(vector.embedding, &request.vectors)).collect()
}

/// Results, of which there must be one for each text.
fn counted(results: Vec<Json>, texts: usize) -> Result<Vec<Json>, ProviderError> {
    match results.len() {
        count if count == texts => Ok(results),
        count => Err(ProviderError::malformed(&format!("the upstream gave {count} results for {texts} texts"))),
    }
}

fn usage(told: &Json) -> Option<Usage> {
    let told = said::json(told.get().as_bytes())?;
    told.as_object().and_then(read_usage)
}

/// Puts the answer to a later batch behind that to the earlier ones.
pub(crate) fn merge(first: &mut ChatAnswer, mut next: ChatAnswer) {
    first.results.append(&mut next.results);
    match (&first.held, &next.held) {
        (Some(held), Some(more)) => held.absorb(more),
        _ => first.held = first.held.take().or(next.held.take()),
    }
    first.usage = first.usage.zip(next.usage).map(|(one, two)| one.plus(two));
    first.cost_usd = first.cost_usd.zip(next.cost_usd).map(|(one, two)| one + two);
    first.correlation_id = next.correlation_id.or(first.correlation_id.take());
}

/// How many of these texts go into one request: at most so many, and so many bytes unless the first alone has more.
pub(crate) fn batch<'a>(texts: impl Iterator<Item = &'a str>, most: usize, bytes: usize) -> usize {
    let mut sum = 0_usize;
    texts
        .take(most)
        .take_while(|text| {
            let before = sum;
            sum = sum.saturating_add(text.len());
            before == 0 || sum <= bytes
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_flight::InFlight;
    use crate::provider::ErrorKind;

    fn about(task: Task) -> ChatRequest {
        ChatRequest::about(task, None, Vec::new())
    }

    #[test]
    fn vectors_come_in_the_order_of_their_texts_and_as_they_were_written() {
        let body = br#"{"model":"m","data":[{"index":1,"embedding":[0.50,1e-3]},{"index":0,"embedding":[0.0]}],
            "usage":{"prompt_tokens":4,"total_tokens":4}}"#;
        let answer = parse(body, &about(Task::Embed), "asked", 2).unwrap();
        let written: Vec<_> = answer.results.iter().map(Json::get).collect();
        assert_eq!(written, ["[0.0]", "[0.50,1e-3]"]);
        assert_eq!(answer.usage.map(|usage| usage.prompt_tokens), Some(4));
        for (task, texts) in [(Task::Embed, 3), (Task::Moderate, 2)] {
            let error = parse(body, &about(task), "asked", texts).unwrap_err();
            let spent = error.spent().map(|usage| usage.prompt_tokens);
            assert_eq!((error.kind(), spent), (ErrorKind::MalformedAnswer, Some(4)), "{task:?}: used all the same");
        }
    }

    #[test]
    fn results_of_more_values_than_an_answer_may_hold_are_none() {
        let many = "[0]".to_owned() + &",[0]".repeat(600_000);
        let body = format!(r#"{{"results":[{{"categories":[{many}]}}]}}"#);
        let error = parse(body.as_bytes(), &about(Task::Moderate), "m", 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResponseTooLarge);
        let body = format!(
            r#"{{"data":[{{"embedding":[0]}}],"results":[{many}],"usage":{{"prompt_tokens":4,"x":[{many}]}}}}"#
        );
        assert_eq!(parse(body.as_bytes(), &about(Task::Embed), "m", 1).unwrap().usage, None);
    }

    #[test]
    fn vectors_come_in_the_encoding_that_was_asked_for() {
        let body = br#"{"data":[{"index":0,"embedding":[0.5]}]}"#;
        let mut request = about(Task::Embed);
        request.vectors.encoding = Some("base64".to_owned());
        assert_eq!(parse(body, &request, "m", 1).unwrap().results[0].get(), "\"AAAAPw==\"");
    }

    #[test]
    fn merged_batches_hold_what_each_of_them_held() {
        let in_flight = InFlight::new(100);
        let answer = |bytes: Option<usize>| {
            let held = bytes.map(|bytes| {
                let held = in_flight.hold();
                held.add(bytes).unwrap();
                held
            });
            ChatAnswer { held, ..parse(br#"{"data":[]}"#, &about(Task::Embed), "m", 0).unwrap() }
        };
        for (one, two, both) in [(Some(20), Some(30), 50), (None, Some(30), 30), (Some(20), None, 20)] {
            let (mut first, next) = (answer(one), answer(two));
            merge(&mut first, next);
            assert_eq!(in_flight.held(), both);
            drop(first);
            assert_eq!(in_flight.held(), 0);
        }
    }

    #[test]
    fn batches_are_bounded_and_never_empty() {
        let first = |texts: &[&str]| batch(texts.iter().copied(), 3, 10);
        assert_eq!(first(&["a", "b", "c", "d"]), 3);
        assert_eq!(first(&["12345", "12345", "1"]), 2);
        assert_eq!(first(&["far more than ten bytes", "1"]), 1);
        assert_eq!(first(&["", "", ""]), 3);
    }
}
