//! Which endpoint a request is for.

use hyper::{Method, StatusCode};

use crate::refusal::Refusal;

/// An endpoint of the Mistral API that the double serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/fim/completions`.
    Fim,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/moderations`.
    Moderations,
    /// `POST /v1/chat/moderations`.
    ChatModerations,
    /// `GET /v1/models` and `GET /v1/models/{id}`.
    Models,
}

/// Which of Mistral's hosts a double plays. Keys of one are strangers to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Host {
    /// `api.mistral.ai`: everything.
    #[default]
    Api,
    /// `codestral.mistral.ai`: chat and fill-in-the-middle only, with keys of its own.
    Codestral,
}

/// A request line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route<'p> {
    pub(crate) endpoint: Endpoint,
    /// The id in `/v1/models/{id}`.
    pub(crate) model: Option<&'p str>,
}

const ROUTES: [(&str, Endpoint); 6] = [
    ("/v1/chat/completions", Endpoint::Chat),
    ("/v1/fim/completions", Endpoint::Fim),
    ("/v1/embeddings", Endpoint::Embeddings),
    ("/v1/moderations", Endpoint::Moderations),
    ("/v1/chat/moderations", Endpoint::ChatModerations),
    ("/v1/models", Endpoint::Models),
];

impl Endpoint {
    fn method(self) -> Method {
        if self == Self::Models { Method::GET } else { Method::POST }
    }
}

/// Finds the endpoint. What the edge does not know is its own 404; what it passes on and the application does not know is
/// the application's.
pub(crate) fn route<'p>(host: Host, method: &Method, path: &'p str) -> Result<Route<'p>, Refusal> {
    let (endpoint, model) = match ROUTES.iter().find(|(known, _)| *known == path) {
        Some((_, endpoint)) => (*endpoint, None),
        None => match path.strip_prefix("/v1/models/") {
            Some(id) if !id.is_empty() && !id.contains('/') => (Endpoint::Models, Some(id)),
            _ if ROUTES.iter().any(|(known, _)| path.starts_with(known)) => {
                return Err(Refusal::Detail { status: StatusCode::NOT_FOUND, detail: "Not Found" });
            }
            _ => return Err(Refusal::NoRoute),
        },
    };
    if host == Host::Codestral && !matches!(endpoint, Endpoint::Chat | Endpoint::Fim) {
        return Err(Refusal::NoRoute);
    }
    if endpoint.method() != *method {
        return Err(Refusal::Detail { status: StatusCode::METHOD_NOT_ALLOWED, detail: "Method Not Allowed" });
    }
    Ok(Route { endpoint, model })
}
