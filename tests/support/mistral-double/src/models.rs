//! The models the double serves, after the live list of August 2026.

use serde_json::{Value, json};

/// When the models' cards say they were made.
const CREATED: u64 = 1_782_000_000;

/// What a model can do, as far as the double refuses what it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Chat completions.
    Chat,
    /// Tools in chat completions.
    Tools,
    /// Images in chat messages.
    Vision,
    /// Audio in chat messages.
    Audio,
    /// Thinking before the answer.
    Reasoning,
    /// Fill-in-the-middle.
    Fim,
    /// Embeddings. No card says so: an embedding model's flags are all false.
    Embeddings,
    /// Moderation.
    Moderation,
}

/// One model with its aliases.
#[derive(Debug, Clone)]
pub struct Model {
    /// The canonical, dated id.
    pub id: String,
    /// Other names it answers to. Each is an entry of the list of models.
    pub aliases: Vec<String>,
    /// The largest prompt in tokens.
    pub context_length: u64,
    /// What it can do.
    pub abilities: Vec<Ability>,
    /// `default_model_temperature` of its card.
    pub default_temperature: Option<f64>,
    /// When it is switched off (RFC 3339), and what replaces it.
    pub deprecation: Option<Deprecation>,
    /// Whether other companies' levels of `reasoning_effort` are taken besides `none` and `high`.
    pub effort: Effort,
}

/// The end of a model.
#[derive(Debug, Clone)]
pub struct Deprecation {
    /// RFC 3339; also sent as `x-model-deprecation-timestamp`.
    pub date: String,
    /// The model to move to.
    pub replacement: String,
}

/// Which levels of `reasoning_effort` a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// `none` and `high`: Mistral's own models.
    Two,
    /// `none` to `max`: third-party models.
    All,
}

impl Model {
    /// A chat model of one name.
    #[must_use]
    pub fn new(id: &str, context_length: u64, abilities: &[Ability]) -> Self {
        Self {
            id: id.to_owned(),
            aliases: Vec::new(),
            context_length,
            abilities: abilities.to_vec(),
            default_temperature: Some(0.3),
            deprecation: None,
            effort: Effort::Two,
        }
    }

    /// The same model with other names.
    #[must_use]
    pub fn aliases(mut self, names: &[&str]) -> Self {
        self.aliases = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Whether it can do this.
    #[must_use]
    pub fn can(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// The card under one of its names; `aliases` holds the others.
    pub(crate) fn card(&self, name: &str) -> Value {
        let others: Vec<&str> = self.names().filter(|other| *other != name).collect();
        json!({
            "id": name,
            "object": "model",
            "created": CREATED,
            "owned_by": "mistralai",
            "name": self.id,
            "description": format!("Offline double of {}.", self.id),
            "max_context_length": self.context_length,
            "aliases": others,
            "deprecation": self.deprecation.as_ref().map(|end| &end.date),
            "deprecation_replacement_model": self.deprecation.as_ref().map(|end| &end.replacement),
            "default_model_temperature": self.default_temperature,
            "type": "base",
            "capabilities": {
                "completion_chat": self.can(Ability::Chat),
                "function_calling": self.can(Ability::Tools),
                "reasoning": self.can(Ability::Reasoning),
                "completion_fim": self.can(Ability::Fim),
                "fine_tuning": false,
                "vision": self.can(Ability::Vision),
                "ocr": false,
                "classification": self.can(Ability::Moderation),
                "moderation": self.can(Ability::Moderation),
                "audio": self.can(Ability::Audio),
                "audio_transcription": false,
                "audio_transcription_realtime": false,
                "audio_speech": false,
                "unified_resources": false,
            },
        })
    }
}

/// Finds a model by its id or an alias.
pub(crate) fn find<'m>(models: &'m [Model], name: &str) -> Option<&'m Model> {
    models.iter().find(|model| model.names().any(|known| known == name))
}

/// `GET /v1/models`: every alias is an entry of its own. `only` is the query's `model`.
pub(crate) fn list(models: &[Model], only: Option<&str>) -> Value {
    let cards: Vec<Value> = models
        .iter()
        .flat_map(|model| model.names().map(move |name| (model, name)))
        .filter(|(_, name)| only.is_none_or(|wanted| wanted == *name))
        .map(|(model, name)| model.card(name))
        .collect();
    json!({ "object": "list", "data": cards })
}

/// The models of a double that was told of no others.
#[must_use]
pub fn default_models() -> Vec<Model> {
    use Ability::{Audio, Chat, Embeddings, Fim, Moderation, Reasoning, Tools, Vision};
    let mut medium = Model::new("mistral-medium-3-5", 262_144, &[Chat, Tools, Vision, Reasoning]).aliases(&[
        "mistral-medium-latest",
        "mistral-medium",
        "mistral-medium-3",
        "mistral-medium-3.5",
        "mistral-medium-2604",
        "mistral-vibe-cli-latest",
        "mistral-vibe-cli-with-tools",
    ]);
    medium.default_temperature = Some(1.0);
    let mut devstral = Model::new("devstral-2512", 262_144, &[Chat, Tools]).aliases(&[
        "devstral-latest",
        "devstral-medium-latest",
        "mistral-code-agent-latest",
    ]);
    devstral.deprecation =
        Some(Deprecation { date: "2026-08-31T12:00:00Z".to_owned(), replacement: "mistral-medium-3-5".to_owned() });
    let mut glm = Model::new("zai-glm-5-2", 1_048_576, &[Chat, Tools, Reasoning]).aliases(&["glm-5-2"]);
    glm.effort = Effort::All;
    vec![
        Model::new("mistral-large-2512", 262_144, &[Chat, Tools, Vision]).aliases(&["mistral-large-latest"]),
        medium,
        Model::new("mistral-small-2603", 262_144, &[Chat, Tools, Vision, Reasoning]).aliases(&[
            "mistral-small-latest",
            "magistral-small-latest",
            "mistral-vibe-cli-fast",
        ]),
        Model::new("ministral-14b-2512", 262_144, &[Chat, Tools, Vision]).aliases(&["ministral-14b-latest"]),
        Model::new("ministral-8b-2512", 262_144, &[Chat, Tools, Vision]).aliases(&["ministral-8b-latest"]),
        Model::new("ministral-3b-2512", 131_072, &[Chat, Tools, Vision]).aliases(&["ministral-3b-latest"]),
        Model::new("codestral-2508", 256_000, &[Chat, Tools, Fim]).aliases(&[
            "codestral-latest",
            "mistral-code-latest",
            "mistral-code-fim-latest",
        ]),
        devstral,
        Model::new("voxtral-small-2507", 32_768, &[Chat, Tools, Audio]).aliases(&["voxtral-small-latest"]),
        glm,
        cool(Model::new("mistral-embed-2312", 8_192, &[Embeddings]).aliases(&["mistral-embed"])),
        cool(Model::new("codestral-embed-2505", 8_192, &[Embeddings]).aliases(&["codestral-embed"])),
        cool(Model::new("mistral-moderation-2603", 131_072, &[Moderation]).aliases(&["mistral-moderation-latest"])),
    ]
}

/// A model that samples nothing has no temperature.
fn cool(mut model: Model) -> Model {
    model.default_temperature = None;
    model
}
