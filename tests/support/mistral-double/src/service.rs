//! One request, from its head to its answer.

use double::{Answer, ReceivedRequest, Vendor};
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderName, HeaderValue};
use serde_json::Value;
use uuid::Uuid;

use crate::answer;
use crate::behaviour::Behaviour;
use crate::models;
use crate::refusal::Refusal;
use crate::route::{Endpoint, Route, route};
use crate::script::Script;
use crate::settings::Settings;
use crate::validate::{self, Accepted};
use crate::{embeddings, moderation, rate_limit};

/// What Mistral takes, refuses and says.
#[derive(Debug)]
pub struct Mistral {
    pub(crate) settings: Settings,
    pub(crate) script: Script,
}

impl Vendor for Mistral {
    const LARGEST_REQUEST: usize = 64 * 1024 * 1024;

    fn answer(&self, request: &ReceivedRequest) -> Result<Answer, double::Refusal> {
        self.accept(request).map_err(|refusal| refusal.written(self.settings.validation_shape))
    }

    fn request_id(&self) -> Option<(&'static str, String)> {
        Some(("mistral-correlation-id", Uuid::now_v7().to_string()))
    }
}

impl Mistral {
    fn accept(&self, request: &ReceivedRequest) -> Result<Answer, Refusal> {
        if request.too_large {
            return Err(Refusal::TooLarge);
        }
        let route = route(self.settings.host, &request.method, request.path())?;
        validate::key(&self.settings, &request.headers)?;
        if route.endpoint == Endpoint::Models {
            return self.models(&route, request.uri.query());
        }
        let accepted = validate::request(&self.settings, route.endpoint, request)?;
        let behaviour = self.script.take(route.endpoint, accepted.body["model"].as_str()).unwrap_or_default();
        Ok(self.perform(behaviour, |behaviour| self.inference(route.endpoint, &accepted, behaviour)))
    }

    fn models(&self, route: &Route<'_>, query: Option<&str>) -> Result<Answer, Refusal> {
        let body = match route.model {
            Some(name) => match models::find(&self.settings.models, name) {
                Some(model) => model.card(name),
                None => return Err(Refusal::model(name)),
            },
            None => {
                let only = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("model=")));
                models::list(&self.settings.models, only)
            }
        };
        let behaviour = self.script.take(Endpoint::Models, route.model).unwrap_or_default();
        Ok(self.perform(behaviour, |_| Answer::json(200, &body)))
    }

    /// Plays a behaviour: its failure, or the answer.
    fn perform(&self, mut behaviour: Behaviour, answer: impl FnOnce(&mut Behaviour) -> Answer) -> Answer {
        let mut answer = match &behaviour.failure {
            Some(failure) => failure.render(),
            None => answer(&mut behaviour),
        };
        for (name, value) in behaviour.headers {
            answer.headers_mut().insert(name, value);
        }
        answer.delay = if behaviour.before_first_byte.is_zero() {
            self.settings.before_first_byte
        } else {
            behaviour.before_first_byte
        };
        answer
    }

    fn inference(&self, endpoint: Endpoint, accepted: &Accepted<'_>, behaviour: &mut Behaviour) -> Answer {
        let body = &accepted.body;
        let (mut answer, tokens) = match endpoint {
            Endpoint::Embeddings => whole(embeddings::answer(body)),
            Endpoint::Moderations => whole(moderation::of_texts(body)),
            Endpoint::ChatModerations => whole(moderation::of_conversations(body)),
            Endpoint::Chat | Endpoint::Fim | Endpoint::Models => self.completion(endpoint, body, behaviour),
        };
        let headers = answer.headers_mut();
        rate_limit::add(headers, self.settings.rate_limits, endpoint, tokens);
        if let Some(end) = &accepted.model.deprecation
            && let Ok(date) = HeaderValue::try_from(&end.date)
        {
            headers.insert(HeaderName::from_static("x-model-deprecation-timestamp"), date);
        }
        answer
    }

    fn completion(&self, endpoint: Endpoint, body: &Value, behaviour: &mut Behaviour) -> (Answer, u64) {
        let reply = answer::reply(endpoint, body, std::mem::take(&mut behaviour.answer));
        if body["stream"] != true {
            let bytes = answer::bytes(&reply, behaviour.stream.tool_calls);
            return (Answer::whole(200, Some("application/json"), bytes), reply.total_tokens());
        }
        let pause = behaviour.between_chunks.unwrap_or(self.settings.between_chunks);
        let steps = answer::steps(&reply, &behaviour.stream, pause);
        let mut answer = Answer::steps("text/event-stream; charset=utf-8", steps);
        answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        (answer, reply.total_tokens())
    }
}

fn whole((body, tokens): (Value, u64)) -> (Answer, u64) {
    (Answer::json(200, &body), tokens)
}
