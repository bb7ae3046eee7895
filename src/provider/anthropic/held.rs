//! To which of a request's schemas a model is held.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::model::Model;
use super::schema::{Of, closed};
use super::weight::Weight;
use super::without::Without;
use crate::chat::{ChatRequest, ResponseFormat, Schema, Tool};

/// The schemas, as they are sent; none where the model is not held.
#[derive(Debug)]
pub(super) struct Held<'a> {
    /// Of the tools, in their order.
    pub(super) tools: Vec<Option<Cow<'a, RawValue>>>,
    pub(super) answer: Option<Cow<'a, RawValue>>,
}

impl<'a> Held<'a> {
    /// Of a request: those that are asked for and that the model can be held to. Together they may be too much for the vendor:
    /// then no tool is strict, and where the answer's schema is too much by itself it is not held to that either.
    pub(super) fn of(request: &'a ChatRequest, model: Model, without: Without, notes: &mut Vec<String>) -> Self {
        let takes = model.takes_schemas() && !without.schemas;
        let answer = match &request.response_format {
            Some(ResponseFormat::JsonSchema(asked)) if takes => Holding::of(&asked.schema, Of::Answer),
            _ => None,
        };
        let answer = answer.filter(|holding| Weight::of(&holding.schema).is_taken());
        let strict = |tool: &'a Tool| tool.parameters.as_ref().filter(|_| tool.strict == Some(true));
        let hold = |tool| strict(tool).filter(|_| takes).and_then(|schema| Holding::of(schema, Of::Arguments));
        let mut tools: Vec<_> = request.tools.iter().map(hold).collect();
        let answers = answer.as_ref().map(|holding| Weight::of(&holding.schema)).unwrap_or_default();
        let weights = tools.iter().flatten().map(|holding| Weight::of_tool(&holding.schema));
        if !weights.fold(answers, Weight::and).is_taken() {
            tools.fill_with(|| None);
        }
        let loose = request.tools.iter().zip(&tools).filter(|(tool, held)| strict(tool).is_some() && held.is_none());
        if model.takes_schemas() && loose.count() > 0 {
            notes.push("strict left out of a tool: the provider cannot hold the model to its schema".to_owned());
        }
        let mut sent = |holding: Option<Holding<'a>>| holding.map(|holding| holding.noted(notes));
        Self { tools: tools.into_iter().map(&mut sent).collect(), answer: sent(answer) }
    }
}

/// A schema in the form that a model can be held to, and what was left out of it.
struct Holding<'a> {
    schema: Cow<'a, RawValue>,
    left_out: Vec<&'static str>,
}

impl<'a> Holding<'a> {
    fn of(schema: &'a Schema, of: Of) -> Option<Self> {
        let (schema, left_out) = closed(schema, of)?;
        Some(Self { schema, left_out: left_out.into_iter().collect() })
    }

    fn noted(self, notes: &mut Vec<String>) -> Cow<'a, RawValue> {
        if !self.left_out.is_empty() {
            let left_out = self.left_out.join(", ");
            notes.push(format!("left out of a schema, since the provider cannot hold the model to it: {left_out}"));
        }
        self.schema
    }
}
