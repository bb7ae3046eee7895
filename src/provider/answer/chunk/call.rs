//! The tool calls of one choice of a stream: whole ones, and those that come in fragments, whatever of their numbers and
//! ids is missing.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::provider::answer::completion::seal;
use crate::provider::tools::call_id::{Made, bounded, check_count, is_one};
use crate::provider::{Delta, ProviderError, Sealed, names};

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// The place of the call that the latest fragment belonged to.
    latest: Option<usize>,
    /// How many were told.
    told: u32,
}

#[derive(Debug)]
struct Call {
    /// As the upstream numbers it.
    index: Option<u64>,
    id: Option<String>,
    /// As it is told; none for a call that is left out.
    number: Option<u32>,
    /// Whether any of its arguments have come.
    argued: bool,
}

/// How a fragment was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The fragment is what a client of OpenAI's expects, and the deltas say all of it.
    Verbatim,
    /// By deltas alone.
    Otherwise,
    /// Not at all: part of a call without a name, which nobody could run.
    LeftOut,
}

impl Calls {
    /// Reads one element of `tool_calls`, whose arguments are a text by now.
    pub(super) fn read(
        &mut self,
        call: &Value,
        choice: u32,
        ids: &mut Made<Bytes>,
        deltas: &mut Vec<Delta>,
    ) -> Result<Told, ProviderError> {
        let function = call.get("function").and_then(Value::as_object);
        let field = |name| function.and_then(|function| function.get(name));
        let name = field("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let id = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty() && *id != "null");
        // One that is too much of a text to be told still says which call this is.
        let id = id.map(|id| bounded(id.to_owned()));
        let id = id.as_deref();
        let index = call.get("index").and_then(Value::as_u64);
        let arguments = field("arguments").and_then(Value::as_str).unwrap_or_default().to_owned();
        let known = self.find(index, id, name);
        let place = match known {
            Some(place) => place,
            None => self.add(index, id, name)?,
        };
        self.latest = Some(place);
        let Some(state) = self.calls.get_mut(place) else { return Ok(Told::LeftOut) };
        let Some(number) = state.number else { return Ok(Told::LeftOut) };
        let verbatim = index == Some(u64::from(number)) && is_openais(call, function, known.is_none());
        state.argued |= !arguments.is_empty();
        if known.is_none() {
            let (id, name) = (Some(ids.or_made(id)), name.map(str::to_owned));
            deltas.push(Delta::ToolCall { choice, call: number, id, name, arguments });
        } else if !arguments.is_empty() {
            deltas.push(Delta::ToolCall { choice, call: number, id: None, name: None, arguments });
        }
        deltas.extend(seal(call).map(|seal| Delta::Seal { choice, of: Sealed::Call(number), seal }));
        Ok(if verbatim { Told::Verbatim } else { Told::Otherwise })
    }

    /// Whether any was told.
    pub(super) fn any(&self) -> bool {
        self.told > 0
    }

    /// Ends the calls. As in whole answers, no arguments at all are an empty object. Gives whether there was nothing to
    /// add.
    pub(super) fn finish(&mut self, choice: u32, deltas: &mut Vec<Delta>) -> bool {
        let before = deltas.len();
        for state in self.calls.iter_mut().filter(|state| !state.argued) {
            state.argued = true;
            let Some(call) = state.number else { continue };
            deltas.push(Delta::ToolCall { choice, call, id: None, name: None, arguments: "{}".to_owned() });
        }
        deltas.len() == before
    }

    /// The call that a fragment belongs to, if that has begun: by its number, else by its id, else the latest unless a
    /// name says that another begins. A missing number never makes two calls one.
    fn find(&self, index: Option<u64>, id: Option<&str>, name: Option<&str>) -> Option<usize> {
        if index.is_some() {
            let place = self.calls.iter().rposition(|call| call.index == index)?;
            // Some servers give all calls of an answer one number.
            let other = name.is_some() && id.is_some() && self.calls.get(place)?.id.as_deref() != id;
            return (!other).then_some(place);
        }
        let by_id = id.and_then(|id| self.calls.iter().rposition(|call| call.id.as_deref() == Some(id)));
        by_id.or_else(|| self.latest.filter(|_| name.is_none()))
    }

    fn add(&mut self, index: Option<u64>, id: Option<&str>, name: Option<&str>) -> Result<usize, ProviderError> {
        check_count(self.calls.len() + 1)?;
        let number = name.filter(|name| names::is_call(name)).map(|_| self.told);
        self.told += u32::from(number.is_some());
        self.calls.push(Call { index, id: id.map(str::to_owned), number, argued: false });
        Ok(self.calls.len() - 1)
    }
}

/// Whether a fragment has the form that the clients of both read: the first has id, type and name, the others arguments
/// and, as Mistral writes them, an empty name.
fn is_openais(call: &Value, function: Option<&Map<String, Value>>, first: bool) -> bool {
    let (Some(call), Some(function)) = (call.as_object(), function) else { return false };
    let filled = |fields: &Map<String, Value>, name: &str| fields.get(name).is_some_and(|value| !value.is_null());
    let known = |fields: &Map<String, Value>, names: &[&str]| fields.keys().all(|name| names.contains(&name.as_str()));
    let text = |name| call.get(name).and_then(Value::as_str).filter(|text| is_one(text));
    let opened = match first {
        true => text("id").is_some() && text("type") == Some("function"),
        false => !filled(call, "id") && function.get("name").and_then(Value::as_str) == Some(""),
    };
    opened
        && known(call, &["index", "id", "type", "function"])
        && known(function, &["name", "arguments"])
        && function.get("arguments").is_some_and(Value::is_string)
}
