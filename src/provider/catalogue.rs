//! The models of one provider by name: those that the configuration lists, and those that the vendor listed when it was
//! last probed. Nothing is asked for this alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Once};

use arc_swap::ArcSwap;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::values;

/// More models than any vendor lists.
const MOST: usize = 2_000;

/// So many models are remembered whose answers said that they will be taken away.
const MOST_ANNOUNCED: usize = 64;

/// So many models are remembered with the keywords of schemas that they refused, and so many keywords of each.
const MOST_REFUSING: usize = 64;
const MOST_REFUSED: usize = 16;

/// A model that a vendor lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// Its name.
    pub id: String,
    /// What the vendor says of it that clients of OpenAI's and Mistral's read, in the types in which they read it.
    pub told: Map<String, Value>,
}

/// All that a provider lists. Copies share what the vendor listed: the keys of one account see the same models.
#[derive(Clone, Debug)]
pub struct Catalogue {
    configured: Arc<[String]>,
    /// Sorted by name.
    listed: Arc<ArcSwap<Vec<Card>>>,
    /// When those models will be taken away that said so with their answers.
    announced: Arc<ArcSwap<BTreeMap<String, String>>>,
    /// The keywords of schemas without which models took what they had refused with them.
    refused: Arc<ArcSwap<BTreeMap<String, Vec<String>>>>,
    /// An answer that is no list was told of in the log.
    unreadable: Arc<Once>,
}

/// A list of models: in OpenAI's form, which Mistral and Anthropic share, in Gemini's, or bare, as Together AI has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Bare(Vec<Map<String, Value>>),
    Under {
        #[serde(alias = "models")]
        data: Vec<Map<String, Value>>,
    },
}

impl Catalogue {
    pub(crate) fn new(configured: Vec<String>) -> Self {
        Self {
            configured: configured.into(),
            listed: Arc::default(),
            announced: Arc::default(),
            refused: Arc::default(),
            unreadable: Arc::new(Once::new()),
        }
    }

    /// What the configuration lists beside the default model; `*` stands for all.
    pub fn configured(&self) -> &[String] {
        &self.configured
    }

    /// What the vendor listed last; nothing as long as it was not asked.
    pub fn listed(&self) -> Arc<Vec<Card>> {
        self.listed.load_full()
    }

    /// Whether the vendor listed a model.
    pub(crate) fn lists(&self, id: &str) -> bool {
        self.listed.load().binary_search_by(|card| card.id.as_str().cmp(id)).is_ok()
    }

    /// What the vendor said of a model.
    pub fn told(&self, id: &str) -> Option<Map<String, Value>> {
        let listed = self.listed.load();
        let at = listed.binary_search_by(|card| card.id.as_str().cmp(id)).ok()?;
        listed.get(at).map(|card| card.told.clone())
    }

    /// The vendor's own name for a model that it lists under another, if it told one.
    pub(crate) fn canonical(&self, id: &str) -> Option<String> {
        let listed = self.listed.load();
        let at = listed.binary_search_by(|card| card.id.as_str().cmp(id)).ok()?;
        listed.get(at)?.told.get("name")?.as_str().map(str::to_owned)
    }

    /// Whether the vendor said that a model can do this; none where it said nothing of it.
    pub(crate) fn says(&self, id: &str, capability: &str) -> Option<bool> {
        let listed = self.listed.load();
        let at = listed.binary_search_by(|card| card.id.as_str().cmp(id)).ok()?;
        listed.get(at)?.told.get("capabilities")?.get(capability)?.as_bool()
    }

    /// An answer of a model said when that will be taken away, or did not.
    pub(crate) fn announce(&self, model: &str, date: Option<&str>) {
        let known = self.announced.load();
        if known.get(model).map(String::as_str) == date || known.len() >= MOST_ANNOUNCED && !known.contains_key(model) {
            return;
        }
        self.announced.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            match date {
                Some(date) => known.insert(model.to_owned(), date.to_owned()),
                None => known.remove(model),
            };
            known
        });
    }

    /// The models whose last answers said when they will be taken away, and when that is.
    pub(crate) fn announced(&self) -> Arc<BTreeMap<String, String>> {
        self.announced.load_full()
    }

    /// A model took a request without these keywords of schemas that it had refused with them.
    pub(crate) fn refuse(&self, model: &str, keywords: &[String]) {
        self.refused.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            if known.len() < MOST_REFUSING || known.contains_key(model) {
                let refused = known.entry(model.to_owned()).or_default();
                let further = keywords.iter().filter(|keyword| !refused.contains(keyword)).cloned().collect::<Vec<_>>();
                refused.extend(further);
                refused.truncate(MOST_REFUSED);
            }
            known
        });
    }

    /// The keywords of schemas that a model is known to refuse.
    pub(crate) fn refused(&self, model: &str) -> Vec<String> {
        self.refused.load().get(model).cloned().unwrap_or_default()
    }

    /// Reads the body of an answer with status 200 to a probe. One that is no list says nothing of the models, and no ill
    /// of the server: it answers.
    pub(crate) fn read(&self, body: &[u8], from: &Url) {
        let list = values::check(body).ok().and_then(|()| serde_json::from_slice(body).ok());
        let Some(List::Bare(models) | List::Under { data: models }) = list else {
            self.unreadable.call_once(|| tracing::warn!(%from, "the answer is no list of models"));
            return;
        };
        let mut cards: Vec<Card> = models.into_iter().filter_map(card).take(MOST).collect();
        cards.sort_by(|one, other| one.id.cmp(&other.id));
        cards.dedup_by(|one, other| one.id == other.id);
        self.listed.store(Arc::new(cards));
    }
}

/// A model under a name that clients can send back. Gemini writes `models/` before it.
fn card(mut told: Map<String, Value>) -> Option<Card> {
    let id = match told.get("id") {
        Some(id) => id.as_str()?.to_owned(),
        None => told.remove("name")?.as_str()?.trim_start_matches("models/").to_owned(),
    };
    let plain = (1..=128).contains(&id.len()) && !id.chars().any(char::is_control);
    // Some are null where the vendor does not say.
    if let Some(Value::Object(traits)) = told.get_mut("capabilities") {
        traits.retain(|_, value| value.is_boolean());
    }
    told.retain(|name, value| is_read(name, value));
    plain.then_some(Card { id, told })
}

/// Whether clients read a field, and in this type: Mistral's refuse a whole list for one of another.
fn is_read(name: &str, value: &Value) -> bool {
    match name {
        "created" | "max_context_length" => value.is_u64(),
        "default_model_temperature" => value.is_number(),
        "name" | "description" | "deprecation" | "deprecation_replacement_model" => value.is_string(),
        "aliases" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
        "capabilities" => value.as_object().is_some_and(|traits| !traits.is_empty()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(catalogue: &Catalogue, body: &str) {
        catalogue.read(body.as_bytes(), &"https://host.example/v1/models".parse().unwrap());
    }

    #[test]
    fn a_list_of_more_values_than_an_answer_may_hold_is_none() {
        let catalogue = Catalogue::new(Vec::new());
        read(&catalogue, &format!(r#"{{"data":[{{"id":"a"}}{}]}}"#, r#",{"a":0}"#.repeat(600_000)));
        assert!(catalogue.listed().is_empty());
    }

    #[test]
    fn every_vendors_list_is_read() {
        for (body, expected) in [
            (
                json!({"object": "list", "data": [
                    {"id": "b", "created": "2026-11-01", "capabilities": {"batch": {"supported": true}}},
                    {"id": "a", "object": "model", "created": 7, "owned_by": "x", "capabilities": {"vision": true, "audio": null},
                        "deprecation": null},
                    {"id": "line\nbreak"}, {"object": "model"},
                ]}),
                json!([{"id": "a", "told": {"created": 7, "capabilities": {"vision": true}}}, {"id": "b", "told": {}}]),
            ),
            (
                json!({"models": [{"name": "models/gemini-x", "inputTokenLimit": 5}], "nextPageToken": "n"}),
                json!([{"id": "gemini-x", "told": {}}]),
            ),
            (
                json!([{"id": "meta-llama/Llama-3", "created": 7}]),
                json!([{"id": "meta-llama/Llama-3", "told": {"created": 7}}]),
            ),
            (json!({"data": []}), json!([])),
            (json!([]), json!([])),
        ] {
            let catalogue = Catalogue::new(Vec::new());
            read(&catalogue.clone(), &body.to_string());
            let cards = catalogue.listed();
            let found: Vec<_> = cards.iter().map(|card| json!({"id": card.id, "told": card.told})).collect();
            assert_eq!(json!(found), expected);
            assert!(cards.iter().all(|card| catalogue.lists(&card.id)) && !catalogue.lists("other"));
        }
    }

    #[test]
    fn a_vendor_says_what_its_models_can_do() {
        let catalogue = Catalogue::new(Vec::new());
        let traits = r#"{"reasoning": true, "vision": false, "audio": null, "batch": {"supported": true}}"#;
        read(&catalogue, &format!(r#"[{{"id": "a", "capabilities": {traits}}}, {{"id": "b"}}]"#));
        for (id, capability, expected) in [
            ("a", "reasoning", Some(true)),
            ("a", "vision", Some(false)),
            ("a", "audio", None),
            ("b", "reasoning", None),
            ("c", "reasoning", None),
        ] {
            assert_eq!(catalogue.says(id, capability), expected, "{id} {capability}");
        }
    }

    #[test]
    fn what_answers_announce_is_remembered_within_bounds() {
        let catalogue = Catalogue::new(Vec::new());
        for number in 0..2 * MOST_ANNOUNCED {
            catalogue.announce(&format!("m{number}"), Some("2027-01-31"));
        }
        assert_eq!(catalogue.announced().len(), MOST_ANNOUNCED);
        catalogue.announce("m0", Some("2027-02-28"));
        catalogue.announce("m1", None);
        let announced = catalogue.clone().announced();
        assert_eq!((announced["m0"].as_str(), announced.get("m1")), ("2027-02-28", None));
    }

    #[test]
    fn what_models_refuse_is_remembered_within_bounds() {
        let catalogue = Catalogue::new(Vec::new());
        for number in 0..2 * MOST_REFUSED {
            catalogue.clone().refuse("m", &["format".to_owned(), format!("k{number}")]);
        }
        assert_eq!(catalogue.refused("m").len(), MOST_REFUSED);
        assert_eq!(catalogue.refused("m")[..2], ["format", "k0"]);
        for number in 0..2 * MOST_REFUSING {
            catalogue.refuse(&format!("m{number}"), &["format".to_owned()]);
        }
        assert!(catalogue.refused.load().len() == MOST_REFUSING && catalogue.refused("another").is_empty());
    }

    #[test]
    fn what_is_no_list_changes_nothing() {
        let catalogue = Catalogue::new(Vec::new());
        read(&catalogue, r#"[{"id": "a"}]"#);
        for wrong in ["{}", "<html>", r#"{"data": 1}"#, r#"["a"]"#] {
            read(&catalogue, wrong);
            assert_eq!(catalogue.listed().len(), 1, "{wrong}");
        }
    }
}
