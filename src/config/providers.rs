//! `llm_providers`: the file's providers and the environment's, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::assembly::Assembly;
use super::endpoint::Endpoint;
use super::environment::Environment;
use super::error::ConfigError;
use super::provider::{CacheKey, DEFAULT_PRIORITY, Key, Provider, ProviderKind, ProviderName};
use super::scalar::{FromText, Line, Parsed, Share, Whole};
use super::secret::Secret;
use super::yaml::{KeyPath, quoted};

type Seconds = Whole<1, 3_600>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawProvider {
    #[serde(rename = "type")]
    kind: Option<Parsed<KindName>>,
    enabled: Option<bool>,
    display_name: Option<Parsed<Line>>,
    region: Option<Parsed<Line>>,
    credentials: Option<RawCredentials>,
    config: Option<RawProviderConfig>,
    priority: Option<Whole<-1_000_000, 1_000_000>>,
    weight: Option<Share<1>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCredentials {
    api_key: Option<Parsed<Secret>>,
    api_keys: Option<Vec<Parsed<Secret>>>,
}

impl RawCredentials {
    /// Every key that is written, in order. One that is empty (a variable that is not set) is none.
    fn keys(self) -> impl Iterator<Item = Secret> {
        let all = self.api_key.into_iter().chain(self.api_keys.into_iter().flatten());
        all.map(|Parsed(key)| key).filter(|key| !key.is_empty())
    }

    /// Where they stand, of the provider at `path`, in whatever order.
    fn paths(&self, path: &KeyPath) -> impl Iterator<Item = KeyPath> {
        let path = path.clone().key("credentials");
        let (list, listed) = (path.clone().key("api_keys"), self.api_keys.as_ref().map_or(0, Vec::len));
        (0..listed).map(move |index| list.clone().index(index)).chain([path.key("api_key")])
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawProviderConfig {
    model: Option<Parsed<Line>>,
    models: Option<Vec<Parsed<Line>>>,
    bridge_user_after_tool: Option<Vec<Parsed<Line>>>,
    prompt_cache_key: Option<CacheKey>,
    without_reasoning_content: Option<Vec<Parsed<Line>>>,
    /// What Azure calls a model that it serves. `model` beside it is then the one of OpenAI's that it is.
    deployment_name: Option<Parsed<Line>>,
    api_version: Option<Parsed<Line>>,
    endpoint: Option<Parsed<Endpoint>>,
    http2: Option<bool>,
    max_tokens: Option<Whole<1, 10_000_000>>,
    timeout_seconds: Option<Seconds>,
    model_map: Option<BTreeMap<String, Parsed<Line>>>,
}

/// AxonFlow's, which is not built into this version.
const BEDROCK: &str = "bedrock";

/// A kind, or none for [`BEDROCK`].
#[derive(Clone, Copy, Debug)]
struct KindName(Option<ProviderKind>);

impl FromText for KindName {
    fn allowed() -> String {
        format!("{}, {BEDROCK}", ProviderKind::ALL.map(ProviderKind::as_str).join(", "))
    }

    fn from_text(text: &str) -> Option<Self> {
        let named = ProviderKind::named(text.trim());
        (named.is_some() || text.trim() == BEDROCK).then_some(Self(named))
    }
}

/// The providers that are started, by name, and every name that the file and the environment know.
pub(super) struct Providers {
    pub(super) started: Vec<Provider>,
    pub(super) known: BTreeSet<String>,
}

/// Puts the file's providers and the environment's together. Of a kind that the file mentions, the environment adds
/// none: it fills what the file's entries leave open.
pub(super) fn assemble(
    file: BTreeMap<String, Option<RawProvider>>,
    assembly: &mut Assembly<'_>,
) -> Result<Providers, ConfigError> {
    let mut entries = BTreeMap::new();
    for (name, raw) in file {
        let path = KeyPath::of("llm_providers").key(name.as_str());
        let Some(parsed) = ProviderName::from_text(&name) else {
            let reason = format!("not a provider's name, allowed: {}", ProviderName::allowed());
            return Err(assembly.invalid(path, reason));
        };
        let raw = raw.unwrap_or_default();
        let KindName(kind) = match raw.kind {
            Some(Parsed(kind)) => kind,
            None => KindName::from_text(&name).ok_or_else(|| {
                let reason = format!(
                    "found no type, and \"{name}\" is not one, allowed: a `type` among {}",
                    KindName::allowed()
                );
                assembly.invalid(path, reason)
            })?,
        };
        entries.insert(parsed, (kind, raw));
    }
    for kind in ProviderKind::ALL {
        let is_set = |name: &&str| assembly.environment.get(name).is_some();
        let enabled_by = kind.variables().enabled_by;
        let in_environment = !enabled_by.is_empty() && enabled_by.iter().all(is_set);
        if in_environment && entries.values().all(|(mentioned, _)| *mentioned != Some(kind)) {
            let name = ProviderName::from_text(kind.as_str());
            entries.extend(name.map(|name| (name, (Some(kind), RawProvider::default()))));
        }
    }
    let known: BTreeSet<String> = entries.keys().map(ToString::to_string).collect();
    let chosen = chosen(&known, assembly);
    let mut started = Vec::new();
    for (name, (kind, raw)) in entries {
        if raw.enabled == Some(false) {
            continue;
        }
        if chosen.as_ref().is_some_and(|chosen| !chosen.contains(name.as_str())) {
            assembly.warn(format!("provider {name} is left out: LLM_PROVIDERS does not name it"));
            continue;
        }
        match kind {
            Some(kind) => started.extend(raw.start(name, kind, assembly)?),
            None => assembly
                .warn(format!("provider {name} is left out: provider type {BEDROCK} is not built into this version")),
        }
    }
    Ok(Providers { started, known })
}

/// The names in `LLM_PROVIDERS`, if it is set.
fn chosen(known: &BTreeSet<String>, assembly: &mut Assembly<'_>) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> = assembly
        .environment
        .list("LLM_PROVIDERS")
        .map(|name| known.iter().find(|known| known.eq_ignore_ascii_case(name)).map_or(name, String::as_str).to_owned())
        .collect();
    for name in names.difference(known) {
        assembly.warn(format!("LLM_PROVIDERS: no provider is called \"{}\"", name.escape_debug()));
    }
    (!names.is_empty()).then_some(names)
}

impl RawProvider {
    /// The provider, unless something that it needs is missing.
    fn start(
        self,
        name: ProviderName,
        kind: ProviderKind,
        assembly: &mut Assembly<'_>,
    ) -> Result<Option<Provider>, ConfigError> {
        let variables = kind.variables();
        let environment = assembly.environment;
        let credentials = self.credentials.unwrap_or_default();
        // Where others are written, which are not set, this one may be another account's.
        let path = KeyPath::of("llm_providers").key(name.as_str());
        let templates: Vec<&str> = credentials.paths(&path).filter_map(|it| assembly.document.template(&it)).collect();
        let variable = variables.api_key.filter(|own| {
            templates.is_empty() || templates.iter().any(|template| references(template).any(|(name, _)| name == *own))
        });
        let mut written = credentials.keys();
        let (api_key, of_environment) = match written.next() {
            Some(key) => (Some(key), None),
            None => (read::<Secret>(environment, variable)?.filter(|key| !key.is_empty()), variable),
        };
        // Where a key is optional, one that is written is meant all the same, unless its default is to have none.
        let is_meant = templates.iter().any(|template| references(template).any(|(_, default)| default.is_none()));
        if api_key.is_none() && (variables.key == Key::Needed || is_meant) {
            assembly.warn(left_out(&name, "key", variable, "credentials.api_key", &unset(&templates, environment)));
            return Ok(None);
        }
        let further_keys = written.collect();
        let config = self.config.unwrap_or_default();
        let document = assembly.document;
        let unset = |keys: &[&str]| {
            let paths = keys.iter().map(|key| path.clone().key("config").key(*key));
            unset(&paths.filter_map(|path| document.template(&path)).collect::<Vec<_>>(), environment)
        };
        let azure = kind == ProviderKind::AzureOpenAi;
        for (key, is_there, only) in [
            ("deployment_name", config.deployment_name.is_some(), ProviderKind::AzureOpenAi),
            ("api_version", config.api_version.is_some(), ProviderKind::AzureOpenAi),
            ("bridge_user_after_tool", config.bridge_user_after_tool.is_some(), ProviderKind::Mistral),
            ("prompt_cache_key", config.prompt_cache_key.is_some(), ProviderKind::Mistral),
            ("without_reasoning_content", config.without_reasoning_content.is_some(), ProviderKind::OpenAiCompatible),
        ] {
            if is_there && kind != only {
                assembly.warn(format!("llm_providers.{name}.config.{key} was passed over: only {only} has it"));
            }
        }
        let (called, base_model) = match (config.deployment_name.filter(|_| azure), config.model) {
            (None, model) => (model, None),
            (deployment, model) => (deployment, model),
        };
        let model = match called {
            Some(Parsed(Line(model))) => Some(model),
            None => read::<Line>(environment, variables.model)?.map(|Line(model)| model),
        };
        let of_file = config.endpoint.is_some();
        let (endpoint, said_by) = match (config.endpoint, variables.endpoint) {
            (None, Some(variable)) => (environment.parsed::<Endpoint>(variable)?, variable.to_owned()),
            (written, _) => (written.map(|Parsed(endpoint)| endpoint), format!("llm_providers.{name}.config.endpoint")),
        };
        let default_model = match endpoint.as_ref().filter(|_| kind == ProviderKind::Mistral) {
            Some(endpoint) if endpoint.is_codestrals() => Some("codestral-latest"),
            _ => variables.default_model,
        };
        let Some(model) = model.or_else(|| default_model.map(str::to_owned)) else {
            let unset = unset(&["deployment_name", "model"]);
            assembly.warn(left_out(&name, "model", variables.model, "config.model", &unset));
            return Ok(None);
        };
        let default = variables.default_endpoint.and_then(Endpoint::parse);
        let origin = |endpoint: &Endpoint| endpoint.without("/v1");
        let elsewhere = of_file && default.is_some() && endpoint.as_ref().map(origin) != default;
        let Some(endpoint) = endpoint.or(default) else {
            assembly.warn(left_out(&name, "endpoint", variables.endpoint, "config.endpoint", &unset(&["endpoint"])));
            return Ok(None);
        };
        let endpoint = match azure {
            true if endpoint.is_of_a_deployment() => {
                return Err(match variables.endpoint.filter(|_| !of_file) {
                    Some(name) => {
                        let found = quoted(endpoint.as_str());
                        ConfigError::Variable { name, found, allowed: RESOURCE.to_owned() }
                    }
                    None => assembly.wrong(path.key("config").key("endpoint"), RESOURCE),
                });
            }
            true => bare(&endpoint, &said_by, assembly),
            false => endpoint,
        };
        if let Some(variable) = of_environment.filter(|_| api_key.is_some() && elsewhere && !endpoint.is_local()) {
            assembly.warn(format!(
                "{said_by}: the key in {variable} goes to {endpoint}; write llm_providers.{name}.credentials.api_key if \
                 that is another account's"
            ));
        }
        if endpoint.is_in_clear() {
            assembly.warn(format!("{said_by}: keys and prompts go to {endpoint} unencrypted; use https"));
        }
        let seconds = match config.timeout_seconds {
            Some(seconds) => Some(seconds),
            None => read::<Seconds>(environment, variables.timeout_seconds)?,
        };
        let api_version = match config.api_version.filter(|_| azure) {
            Some(Parsed(version)) => Some(version),
            None => read::<Line>(environment, variables.api_version)?,
        };
        Ok(Some(Provider {
            display_name: self.display_name.map_or_else(|| name.to_string(), |Parsed(Line(text))| text),
            region: self.region.map(|Parsed(Line(region))| region),
            api_key,
            further_keys,
            model,
            base_model: base_model.map(|Parsed(Line(model))| model),
            models: names(config.models),
            bridge_user_after_tool: names(config.bridge_user_after_tool),
            prompt_cache_key: config.prompt_cache_key.unwrap_or_default(),
            without_reasoning_content: names(config.without_reasoning_content),
            api_version: api_version.map(|Line(version)| version),
            model_map: model_map(config.model_map.unwrap_or_default(), &name, assembly)?,
            endpoint,
            http2: config.http2.unwrap_or_default(),
            max_tokens: config.max_tokens.map(Whole::get),
            timeout: seconds.map_or(variables.default_timeout, |seconds| Duration::from_secs(seconds.get())),
            priority: self.priority.map_or(DEFAULT_PRIORITY, Whole::get),
            weight: self.weight.map_or(1.0, |Share(weight)| weight),
            name,
            kind,
        }))
    }
}

/// What an endpoint of Azure's is.
const RESOURCE: &str = "the address of the resource alone, such as \"https://acme.openai.azure.com\": the provider adds the \
                        path of the deployment, whose name belongs in config.deployment_name";

/// Azure's, without what other software wants at its end.
fn bare(written: &Endpoint, said_by: &str, assembly: &mut Assembly<'_>) -> Endpoint {
    let bare = written.without("/v1").without("/openai");
    if let Some(dropped) = written.as_str().strip_prefix(bare.as_str()).filter(|dropped| !dropped.is_empty()) {
        let adds = "the provider adds the path of a deployment";
        assembly.warn(format!("{said_by}: the {dropped} at the end is dropped, {adds}"));
    }
    bare
}

/// The variables that a text refers to, and their defaults.
fn references(template: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let inside = template.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    inside.map(|(inside, _)| match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    })
}

/// The variables of these texts that are not set.
fn unset<'a>(templates: &[&'a str], environment: &Environment) -> Vec<&'a str> {
    let names = templates.iter().flat_map(|template| references(template)).map(|(name, _)| name);
    names.filter(|name| environment.get(name).is_none()).collect()
}

/// Names of models, as they are written.
fn names(written: Option<Vec<Parsed<Line>>>) -> Vec<String> {
    written.unwrap_or_default().into_iter().map(|Parsed(Line(model))| model).collect()
}

/// The variable, if this kind has one and it is set.
fn read<T: FromText>(environment: &Environment, variable: Option<&'static str>) -> Result<Option<T>, ConfigError> {
    variable.map_or(Ok(None), |variable| environment.parsed(variable))
}

/// Why a provider is not started, and what to do. `unset`: the variables that would have said it.
fn left_out(name: &ProviderName, what: &str, variable: Option<&str>, key: &str, unset: &[&str]) -> String {
    let remedy = match unset {
        [] => {
            let variable = variable.map_or_else(String::new, |variable| format!("{variable} or "));
            format!("; set {variable}llm_providers.{name}.{key}")
        }
        [one] => format!(": {one} is not set"),
        several => format!(": {} are not set", several.join(" and ")),
    };
    format!("provider {name} is left out: it has no {what}{remedy}")
}

/// The models that requests name, by what the provider calls them.
fn model_map(
    written: BTreeMap<String, Parsed<Line>>,
    provider: &ProviderName,
    assembly: &Assembly<'_>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let path = KeyPath::of("llm_providers").key(provider.as_str()).key("config").key("model_map");
    let mut map = BTreeMap::new();
    for (name, Parsed(Line(mapped))) in written {
        if Line::from_text(&name).is_none_or(|Line(line)| line != name) {
            let reason = format!("not a model's name, allowed: {}", Line::allowed());
            return Err(assembly.invalid(path.key(name.as_str()), reason));
        }
        map.insert(name, mapped);
    }
    Ok(map)
}
