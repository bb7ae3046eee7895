//! `request_type`: what kind of request an application says it makes.

/// A kind that AxonFlow knows. Whatever else a caller writes is `chat`: policies match on the kind, and a new word must
/// not lead past them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestType {
    name: &'static str,
    answered_by: AnsweredBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnsweredBy {
    Model,
    /// AxonFlow's planner and connectors, which this gateway has not.
    Nobody,
}

const fn kind(name: &'static str, answered_by: AnsweredBy) -> RequestType {
    RequestType { name, answered_by }
}

const KNOWN: [RequestType; 13] = [
    kind("chat", AnsweredBy::Model),
    kind("llm_chat", AnsweredBy::Model),
    kind("sql", AnsweredBy::Model),
    kind("rag_search", AnsweredBy::Model),
    kind("completion", AnsweredBy::Model),
    kind("embedding", AnsweredBy::Model),
    kind("test", AnsweredBy::Model),
    kind("mcp-query", AnsweredBy::Nobody),
    kind("multi-agent-plan", AnsweredBy::Nobody),
    kind("generate-plan", AnsweredBy::Nobody),
    kind("execute-plan", AnsweredBy::Nobody),
    kind("cancel-plan", AnsweredBy::Nobody),
    kind("update-plan", AnsweredBy::Nobody),
];

impl RequestType {
    /// What a caller named, if anything.
    pub(super) fn of(name: Option<&str>) -> Self {
        let name = name.unwrap_or_default();
        KNOWN.into_iter().find(|known| known.name == name).unwrap_or(kind("chat", AnsweredBy::Model))
    }

    /// The name in records, policies and metrics.
    pub(super) fn as_str(self) -> &'static str {
        self.name
    }

    /// Whether a model can answer it.
    pub(super) fn is_for_a_model(self) -> bool {
        self.answered_by == AnsweredBy::Model
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_chat() {
        for (name, expected, for_a_model) in [
            (None, "chat", true),
            (Some(""), "chat", true),
            (Some("something-else"), "chat", true),
            (Some("sql"), "sql", true),
            (Some("generate-plan"), "generate-plan", false),
        ] {
            let kind = RequestType::of(name);
            assert_eq!((kind.as_str(), kind.is_for_a_model()), (expected, for_a_model));
        }
    }
}
