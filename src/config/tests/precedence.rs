//! The file wins over the environment; the environment fills what the file leaves open.

use crate::config::{Config, Environment, Loaded, Strategy, Weights};

use super::{environment, parse};

fn load(body: &str, environment: &Environment) -> Loaded {
    parse(&format!("version: \"1.0\"\n{body}"), environment).unwrap()
}

fn full() -> Environment {
    environment([
        ("MISTRAL_API_KEY", "sk-environment"),
        ("MISTRAL_MODEL", "model-environment"),
        ("MISTRAL_ENDPOINT", "https://environment"),
        ("MISTRAL_TIMEOUT_SECONDS", "9"),
    ])
}

fn names(config: &Config) -> Vec<&str> {
    config.providers.iter().map(|provider| provider.name.as_str()).collect()
}

#[test]
fn the_environment_alone_makes_a_provider() {
    let config = load("", &full()).config;
    let mistral = &config.providers[0];
    assert_eq!((mistral.name.as_str(), mistral.model.as_str()), ("mistral", "model-environment"));
    assert_eq!((mistral.endpoint.as_str(), mistral.timeout.as_secs()), ("https://environment", 9));
}

#[test]
fn the_file_wins_and_the_environment_fills_the_rest() {
    let body = "llm_providers: {mistral: {config: {model: model-file}, credentials: {api_key: sk-file}}}";
    let config = load(body, &full()).config;
    let mistral = &config.providers[0];
    assert_eq!((mistral.model.as_str(), mistral.api_key.as_ref().unwrap().expose()), ("model-file", "sk-file"));
    assert_eq!((mistral.endpoint.as_str(), mistral.timeout.as_secs()), ("https://environment", 9));
    assert_eq!(
        load("llm_providers: {mistral: }", &full()).config.providers[0].api_key.as_ref().unwrap().expose(),
        "sk-environment"
    );
}

#[test]
fn a_provider_that_the_file_disables_stays_out() {
    assert!(load("llm_providers: {mistral: {enabled: false}}", &full()).config.providers.is_empty());
    // Also under another name: the operator has said which Mistral there is.
    let body = "llm_providers: {mistral-eu: {type: mistral, config: {endpoint: \"https://eu\"}}}";
    assert_eq!(names(&load(body, &full()).config), ["mistral-eu"]);
}

#[test]
fn an_enabled_provider_without_a_key_is_left_out_with_a_warning() {
    for (key, remedy) in [
        ("${MISTRAL_API_KEY}", ": MISTRAL_API_KEY is not set"),
        ("${MISTRAL_API_KEY:-}${B}", ": MISTRAL_API_KEY and B are not set"),
        ("", "; set MISTRAL_API_KEY or llm_providers.mistral.credentials.api_key"),
        (" ", "; set MISTRAL_API_KEY or llm_providers.mistral.credentials.api_key"),
    ] {
        let loaded = load(
            &format!("llm_providers: {{mistral: {{credentials: {{api_key: \"{key}\"}}}}}}"),
            &environment([("MISTRAL_API_KEY", "")]),
        );
        assert!(loaded.config.providers.is_empty());
        assert_eq!(loaded.warnings, [format!("provider mistral is left out: it has no key{remedy}")]);
    }
}

#[test]
fn kinds_that_are_not_built_are_left_out_with_a_warning() {
    let loaded =
        load("llm_providers: {bedrock: {}, house: {type: bedrock}, idle: {type: bedrock, enabled: false}}", &full());
    assert_eq!(names(&loaded.config), ["mistral"]);
    assert_eq!(
        loaded.warnings,
        [
            "provider bedrock is left out: provider type bedrock is not built into this version",
            "provider house is left out: provider type bedrock is not built into this version",
        ]
    );
}

#[test]
fn a_deployment_may_say_which_model_it_is() {
    for (config, called, base) in
        [("model: a", "a", None), ("deployment_name: b", "b", None), ("model: a, deployment_name: b", "b", Some("a"))]
    {
        let file = format!(
            "llm_providers: {{azure-openai: {{credentials: {{api_key: k}}, config: {{endpoint: \"https://a\", {config}}}}}}}"
        );
        let provider = &load(&file, &environment([])).config.providers[0];
        assert_eq!((provider.model.as_str(), provider.base_model.as_deref()), (called, base), "{config}");
    }
}

#[test]
fn each_kind_is_started_by_its_own_variables() {
    let all = environment([
        ("OPENAI_API_KEY", "sk-openai"),
        ("AZURE_OPENAI_API_KEY", "azure"),
        ("AZURE_OPENAI_ENDPOINT", "https://acme.openai.azure.com"),
        ("AZURE_OPENAI_DEPLOYMENT_NAME", "acme-gpt"),
        ("AZURE_OPENAI_API_VERSION", "2024-10-21"),
        ("OLLAMA_ENDPOINT", "http://127.0.0.1:11434/v1"),
        ("ANTHROPIC_API_KEY", "sk-ant"),
        ("GOOGLE_API_KEY", "google"),
        ("GOOGLE_MODEL", "gemini-2.5-flash-lite"),
        ("GOOGLE_TIMEOUT_SECONDS", "9"),
    ]);
    let loaded = load("", &all);
    assert_eq!(names(&loaded.config), ["anthropic", "azure-openai", "gemini", "ollama", "openai"]);
    let shown: Vec<_> = loaded
        .config
        .providers
        .iter()
        .map(|it| (it.model.as_str(), it.endpoint.as_str(), it.timeout.as_secs(), it.api_key.is_some()))
        .collect();
    assert_eq!(
        shown,
        [
            ("claude-sonnet-4-6", "https://api.anthropic.com", 120, true),
            ("acme-gpt", "https://acme.openai.azure.com", 120, true),
            ("gemini-2.5-flash-lite", "https://generativelanguage.googleapis.com", 9, true),
            ("llama3.1:latest", "http://127.0.0.1:11434/v1", 300, false),
            ("gpt-4o", "https://api.openai.com", 120, true),
        ]
    );
    assert_eq!(loaded.config.providers[1].api_version.as_deref(), Some("2024-10-21"));
    let others = [
        ("OPENAI_MODEL", "gpt-4o-mini"),
        ("OPENAI_TIMEOUT_SECONDS", "7"),
        ("ANTHROPIC_MODEL", "claude-haiku-4-5"),
        ("ANTHROPIC_TIMEOUT_SECONDS", "8"),
        ("OLLAMA_MODEL", "qwen3:8b"),
        ("OLLAMA_TIMEOUT_SECONDS", "600"),
    ];
    let others = others.into_iter().fold(all, |all, (name, value)| all.with(name, value));
    let loaded = load("", &others);
    let shown: Vec<_> = loaded.config.providers.iter().map(|it| (it.model.as_str(), it.timeout.as_secs())).collect();
    assert_eq!(
        shown,
        [
            ("claude-haiku-4-5", 8),
            ("acme-gpt", 120),
            ("gemini-2.5-flash-lite", 9),
            ("qwen3:8b", 600),
            ("gpt-4o-mini", 7),
        ]
    );
    let two_of_three = environment([("AZURE_OPENAI_API_KEY", "k"), ("AZURE_OPENAI_ENDPOINT", "https://a")]);
    assert!(load("", &two_of_three).config.providers.is_empty());
}

#[test]
fn what_a_kind_needs_and_has_not_leaves_it_out_with_a_warning() {
    let file = "llm_providers: {openai: {}, azure-openai: {credentials: {api_key: k}}, \
                house: {type: openai-compatible, config: {model: m}}, \
                lab: {type: openai-compatible, config: {endpoint: \"https://lab\", model: m, models: [a, \"*\"]}}}";
    let loaded = load(file, &environment([]));
    assert_eq!(names(&loaded.config), ["lab"]);
    assert_eq!(loaded.config.providers[0].models, ["a", "*"]);
    assert_eq!(
        loaded.warnings,
        [
            "provider azure-openai is left out: it has no model; set AZURE_OPENAI_DEPLOYMENT_NAME or \
             llm_providers.azure-openai.config.model",
            "provider house is left out: it has no endpoint; set llm_providers.house.config.endpoint",
            "provider openai is left out: it has no key; set OPENAI_API_KEY or \
             llm_providers.openai.credentials.api_key",
        ]
    );
}

#[test]
fn a_variable_that_is_not_set_is_named_whatever_it_was_to_say() {
    let started = |kind: &str, key: &str, config: &str| {
        let config =
            if config.contains("endpoint") { config.to_owned() } else { format!("{config}, endpoint: \"https://x\"") };
        let provider = format!("{{type: {kind}, credentials: {{api_key: \"{key}\"}}, config: {{{config}}}}}");
        let loaded = load(&format!("llm_providers: {{x: {provider}}}"), &environment([]));
        (loaded.config.providers.len(), loaded.warnings.join("; "))
    };
    let left_out = |why: &str| (0, format!("provider x is left out: it has no {why}"));
    for (kind, key, config, expected) in [
        ("openai-compatible", "${VLLM_KEY}", "model: m", left_out("key: VLLM_KEY is not set")),
        ("openai-compatible", "${VLLM_KEY:-}", "model: m", (1, String::new())),
        ("openai-compatible", "", "model: m", (1, String::new())),
        ("openai-compatible", "k", "model: \"${MODEL}\"", left_out("model: MODEL is not set")),
        ("azure-openai", "k", "deployment_name: \"${DEPLOYMENT}\"", left_out("model: DEPLOYMENT is not set")),
        ("openai-compatible", "k", "model: m, endpoint: \"${HOUSE}\"", left_out("endpoint: HOUSE is not set")),
    ] {
        assert_eq!(started(kind, key, config), expected, "{kind} {key} {config}");
    }
}

#[test]
fn an_endpoint_of_azures_with_a_deployment_in_it_is_refused() {
    let whole = "https://acme.openai.azure.com/openai/deployments/acme-gpt";
    let azure = environment([("AZURE_OPENAI_API_KEY", "k"), ("AZURE_OPENAI_DEPLOYMENT_NAME", "acme-gpt")]);
    let file = format!("version: \"1.0\"\nllm_providers: {{azure-openai: {{config: {{endpoint: \"{whole}\"}}}}}}");
    for (text, environment, field) in [
        (file.as_str(), azure.clone(), "llm_providers.azure-openai.config.endpoint: found"),
        ("version: \"1.0\"", azure.with("AZURE_OPENAI_ENDPOINT", whole), "AZURE_OPENAI_ENDPOINT: found"),
    ] {
        let error = parse(text, &environment).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains("config.deployment_name"), "{error}");
    }
}

#[test]
fn the_address_is_the_files_else_port_else_8080() {
    let port = environment([("PORT", "9000")]);
    assert_eq!(load("", &port).config.server.listen, "127.0.0.1:9000".parse().unwrap());
    assert_eq!(
        load("server: {listen: \"localhost:7000\"}", &port).config.server.listen,
        "127.0.0.1:7000".parse().unwrap()
    );
    let open = "server: {listen: \"0.0.0.0:80\"}\nauth: {allow_open_network: true}";
    assert!(!load(open, &port).config.server.is_loopback());
}

#[test]
fn axonflows_list_of_origins_counts_where_the_file_has_none() {
    let listed = environment([("AXONFLOW_CORS_ALLOWED_ORIGINS", "https://App.example, *,tauri://localhost,")]);
    let origins = |loaded: &Loaded| -> Vec<_> {
        loaded.config.server.allowed_origins.iter().map(|origin| origin.as_str().to_owned()).collect()
    };
    let loaded = load("", &listed);
    assert_eq!(origins(&loaded), ["https://app.example", "tauri://localhost"]);
    assert_eq!(
        loaded.warnings,
        ["AXONFLOW_CORS_ALLOWED_ORIGINS: the text \"*\" is passed over, allowed: an origin as browsers send it, such \
          as \"https://app.example.org\" or \"tauri://localhost\", without a path"]
    );
    let loaded = load("server: {allowed_origins: [\"https://other.example\"]}", &listed);
    assert_eq!((origins(&loaded), loaded.warnings.len()), (vec!["https://other.example".to_owned()], 0));
    assert!(origins(&load("server: {allowed_origins: []}", &listed)).is_empty());
    assert!(origins(&load("", &environment([]))).is_empty());
}

#[test]
fn routing_comes_from_the_environment_where_the_file_is_silent() {
    let routed = full()
        .with("LLM_ROUTING_STRATEGY", "failover")
        .with("PROVIDER_WEIGHTS", "mistral:30, other:10")
        .with("DEFAULT_LLM_PROVIDER", "mistral");
    let loaded = load("", &routed);
    let routing = &loaded.config.routing;
    assert_eq!(routing.strategy, Strategy::Failover);
    let Weights::Listed(weights) = &routing.weights else { panic!("each its own") };
    assert_eq!(weights[&loaded.config.providers[0].name], 0.75);
    assert_eq!(routing.default.as_ref().unwrap().as_str(), "mistral");
    assert_eq!(loaded.warnings, ["PROVIDER_WEIGHTS: no provider is called \"other\""]);
    assert_eq!(load("routing: {strategy: round_robin}", &routed).config.routing.strategy, Strategy::RoundRobin);
}

#[test]
fn wrong_routing_variables_are_warnings() {
    let wrong = full()
        .with("LLM_ROUTING_STRATEGY", "best")
        .with("PROVIDER_WEIGHTS", "mistral:much")
        .with("DEFAULT_LLM_PROVIDER", "openai");
    let loaded = load("", &wrong);
    assert_eq!(loaded.config.routing.strategy, Strategy::Weighted);
    assert_eq!(loaded.config.routing.weights, Weights::OfProviders);
    assert_eq!(
        loaded.warnings,
        [
            "PROVIDER_WEIGHTS is passed over: found \"mistral:much\", allowed: NAME:NUMBER,... with numbers that are \
             not negative, at least one above 0",
            "LLM_ROUTING_STRATEGY: found \"best\", allowed: weighted, round_robin, failover, least_latency, \
             lowest_cost; weighted is used",
            "DEFAULT_LLM_PROVIDER is passed over: provider \"openai\" is not started",
        ]
    );
}

#[test]
fn weights_of_one_provider_twice_are_none() {
    for twice in ["mistral:30,Mistral:10", "mistral:30,mistral:10"] {
        let loaded = load("", &full().with("PROVIDER_WEIGHTS", twice));
        assert_eq!(loaded.config.routing.weights, Weights::OfProviders, "{twice}");
        assert_eq!(loaded.warnings, ["PROVIDER_WEIGHTS is passed over: \"mistral\" has two weights"], "{twice}");
    }
}

#[test]
fn llm_providers_names_those_that_are_started() {
    let loaded = load("llm_providers: {a: {type: mistral}, b: {type: mistral}}", &full().with("LLM_PROVIDERS", "b,c"));
    assert_eq!(names(&loaded.config), ["b"]);
    assert_eq!(
        loaded.warnings,
        ["LLM_PROVIDERS: no provider is called \"c\"", "provider a is left out: LLM_PROVIDERS does not name it"]
    );
}

#[test]
fn without_a_home_the_cache_is_in_the_working_directory() {
    let loaded = parse("version: \"1.0\"", &Environment::default()).unwrap();
    assert_eq!(loaded.config.policies.cache.to_str(), Some(".octroi-cache"));
    assert_eq!(loaded.warnings.len(), 1);
    let xdg = environment([("XDG_CACHE_HOME", "/cache")]);
    assert_eq!(load("", &xdg).config.policies.cache.to_str(), Some("/cache/octroi"));
}

#[test]
fn the_list_of_providers_is_their_order_too() {
    let body = "llm_providers: {a: {type: mistral}, b: {type: mistral}, c: {type: mistral}}";
    for listed in ["c, a", "C, A"] {
        assert_eq!(names(&load(body, &full().with("LLM_PROVIDERS", listed)).config), ["c", "a"]);
    }
}

#[test]
fn community_mode_starts_two_and_says_which_are_left_out() {
    let body = "llm_providers: {z: {type: mistral}, y: {type: mistral}, a: {type: mistral}}";
    let community = full().with("DEPLOYMENT_MODE", "community");
    let exceeded = |left_out: &str, said_by: &str, cap: usize| {
        format!(
            "Provider limit exceeded: {said_by} starts at most {cap}; left out: {left_out}. Choose with \
             LLM_PROVIDERS=NAME,..., or lift the limit with routing.max_providers"
        )
    };

    let loaded = load(body, &community);
    assert_eq!(names(&loaded.config), ["y", "z"]);
    assert_eq!(loaded.warnings, [exceeded("a", "DEPLOYMENT_MODE=community", 2)]);

    let loaded = load(body, &community.clone().with("LLM_PROVIDERS", "a,z,y"));
    assert_eq!(names(&loaded.config), ["a", "z"]);
    assert_eq!(loaded.warnings, [exceeded("y", "DEPLOYMENT_MODE=community", 2)]);

    let loaded = load(&format!("routing: {{max_providers: 1}}\n{body}"), &full());
    assert_eq!(names(&loaded.config), ["z"]);
    assert_eq!(loaded.warnings, [exceeded("y, a", "routing.max_providers", 1)]);

    for (routing, environment) in [("routing: {max_providers: 3}", &community), ("", &full())] {
        let loaded = load(&format!("{routing}\n{body}"), environment);
        assert_eq!((loaded.config.providers.len(), loaded.warnings.len()), (3, 0));
    }
}

#[test]
fn community_mode_starts_those_that_have_a_weight() {
    let body = "llm_providers: {z: {type: mistral}, y: {type: mistral}, a: {type: mistral}}";
    let community = full().with("DEPLOYMENT_MODE", "community");
    let listed = format!("routing: {{weights: {{a: 1}}}}\n{body}");
    let own = body.replace("z: {type: mistral}", "z: {type: mistral, weight: 0}");
    let shared = format!("routing: {{weights: {{z: 20, y: 30, a: 50}}}}\n{body}");
    let Weights::Listed(weights) = load(&shared, &community).config.routing.weights else { panic!("they are listed") };
    let weights: Vec<_> = weights.iter().map(|(name, weight)| (name.as_str(), (weight * 1e3).round())).collect();
    assert_eq!(weights, [("a", 625.0), ("y", 375.0)], "shares of what is left");
    for (text, environment, started) in [
        (listed.as_str(), community.clone(), ["a", "z"]),
        (body, community.clone().with("PROVIDER_WEIGHTS", "A:1"), ["a", "z"]),
        (&own, community.clone(), ["a", "y"]),
        (&shared, community.clone(), ["a", "y"]),
        (&listed, community.clone().with("LLM_PROVIDERS", "z,a,y"), ["z", "a"]),
    ] {
        assert_eq!(names(&load(text, &environment).config), started);
    }
    let none = community.with("LLM_PROVIDERS", "z,y,a");
    let text = format!("version: \"1.0\"\n{listed}");
    let error = parse(&text, &none).unwrap_err().to_string();
    for setting in ["routing.weights", "DEPLOYMENT_MODE=community", "LLM_PROVIDERS"] {
        assert!(error.contains(setting), "{error}");
    }
}

#[test]
fn retries_and_breakers_have_defaults_and_can_be_set() {
    let routing = load("", &full()).config.routing;
    assert_eq!((routing.deadline.as_secs(), routing.retry.attempts, routing.retry.budget), (300, 3, 0.2));
    assert_eq!((routing.retry.max_wait.as_secs(), routing.breaker.failures), (10, 5));
    assert_eq!(routing.breaker.open_for.as_secs(), 10);
    let set = "routing: {deadline: 20s, retry: {attempts: 1, max_wait: 1s, budget: 1}, breaker: {failures: 2, \
               open_for: 3s}}";
    let routing = load(set, &full()).config.routing;
    assert_eq!((routing.deadline.as_secs(), routing.retry.attempts, routing.retry.budget), (20, 1, 1.0));
    assert_eq!((routing.retry.max_wait.as_secs(), routing.breaker.failures), (1, 2));
    assert_eq!(routing.breaker.open_for.as_secs(), 3);
}

#[test]
fn a_providers_time_is_never_cut_short_in_silence() {
    let patient = "llm_providers: {mistral: {config: {timeout_seconds: 900}}}";
    assert_eq!(load(patient, &full()).config.routing.deadline.as_secs(), 900);
    assert_eq!(
        load(&format!("{patient}\nrouting: {{deadline: 5m}}"), &full()).warnings,
        ["routing.deadline ends calls to mistral before its timeout_seconds does: 5m against 15m"]
    );
}

#[test]
fn models_have_their_own_names_at_a_provider() {
    let body = "llm_providers: {mistral: {config: {model_map: {gpt-4o: mistral-large-latest}}}}";
    let config = load(body, &full()).config;
    assert_eq!(config.providers[0].model_map["gpt-4o"], "mistral-large-latest");
}

#[test]
fn axonflows_older_name_of_a_machines_own_models_is_known() {
    let local = ("LOCAL_LLM_ENDPOINT", "http://127.0.0.1:11435");
    let loaded = load("", &environment([local]));
    assert_eq!(names(&loaded.config), ["ollama"]);
    assert_eq!(loaded.config.providers[0].endpoint.as_str(), "http://127.0.0.1:11435");
    assert_eq!(loaded.warnings, ["LOCAL_LLM_ENDPOINT is an older name, taken for OLLAMA_ENDPOINT; set that instead"]);
    let loaded = load("", &environment([local, ("OLLAMA_ENDPOINT", "http://127.0.0.1:11434")]));
    assert_eq!(loaded.config.providers[0].endpoint.as_str(), "http://127.0.0.1:11434");
    assert_eq!(
        loaded.warnings,
        ["LOCAL_LLM_ENDPOINT was passed over: it is an older name of OLLAMA_ENDPOINT, which is set"]
    );
    let error = parse("version: \"1.0\"", &environment([("LOCAL_LLM_ENDPOINT", "nowhere")])).unwrap_err().to_string();
    assert!(error.contains("LOCAL_LLM_ENDPOINT"), "{error}");
}

#[test]
fn a_key_of_the_environment_does_not_go_elsewhere_unsaid() {
    let groq = |credentials: &str| {
        let yaml = format!(
            "llm_providers: {{groq: {{type: openai, config: {{endpoint: \"https://api.groq.com/openai\"}}{credentials}}}}}"
        );
        load(&yaml, &environment([("OPENAI_API_KEY", "k")]))
    };
    for (credentials, meant) in [
        ("api_key: \"${GROQ_API_KEY}\"", "GROQ_API_KEY"),
        ("api_key: \"${GROQ_OPENAI_API_KEY}\"", "GROQ_OPENAI_API_KEY"),
        ("api_keys: [\"${GROQ_1}\"]", "GROQ_1"),
    ] {
        let loaded = groq(&format!(", credentials: {{{credentials}}}"));
        assert!(loaded.config.providers.is_empty(), "{credentials}: the key that was meant is not set");
        let told = format!("provider groq is left out: it has no key: {meant} is not set");
        assert!(loaded.warnings.contains(&told), "{:?}", loaded.warnings);
    }
    assert_eq!(groq(", credentials: {api_key: \"${OPENAI_API_KEY:-}\"}").config.providers.len(), 1);
    let loaded = groq("");
    assert_eq!(loaded.config.providers.len(), 1);
    assert_eq!(
        loaded.warnings,
        ["llm_providers.groq.config.endpoint: the key in OPENAI_API_KEY goes to https://api.groq.com/openai; write \
          llm_providers.groq.credentials.api_key if that is another account's"]
    );
}

#[test]
fn other_names_of_axonflow_are_known_or_told() {
    let two = full().with("OPENAI_API_KEY", "k");
    let loaded = load("", &two.clone().with("LLM_DEFAULT_PROVIDER", "OpenAI"));
    assert_eq!(loaded.config.routing.default.unwrap().as_str(), "openai");
    let loaded = load("", &two.with("AXONFLOW_PRICING_CONFIG", "p.json"));
    let told = "AXONFLOW_PRICING_CONFIG was passed over: prices are read from the file in routing.prices";
    assert!(loaded.warnings.iter().any(|it| it == told), "{:?}", loaded.warnings);
}

#[test]
fn variables_of_axonflow_that_mean_nothing_here_are_told_by_name_alone() {
    let in_manifests = "what is done about a finding is set in the manifests of the policies folder";
    let set = |names: &[&str]| names.iter().fold(full(), |environment, name| environment.with(*name, "hunter2"));
    let store = "if meant for the records, their store is audit.url";
    let community = "DEPLOYMENT_MODE is not community, but auth.mode is open: callers are not checked; list them in \
                     auth.clients";
    let names = ["MCP_SQLI_ACTION", "GATEWAY_PII_ACTION", "HIGH_RISK_ACTION", "AXONFLOW_PROFILE"];
    let told = "HIGH_RISK_ACTION, GATEWAY_PII_ACTION, MCP_SQLI_ACTION, AXONFLOW_PROFILE were passed over";
    for (names, body, expected) in [
        (names.as_slice(), "", Some(format!("{told}: {in_manifests}"))),
        (&["SQLI_SCANNER_MODE"], "", Some(format!("SQLI_SCANNER_MODE was passed over: {in_manifests}"))),
        (&["DATABASE_URL"], "", Some(format!("DATABASE_URL was passed over: {store}"))),
        (
            &["DATABASE_URL", "DATABASE_HOST"],
            "",
            Some(format!("DATABASE_URL, DATABASE_HOST were passed over: {store}")),
        ),
        (&["DATABASE_URL"], "audit: {url: \"sqlite://o.db\"}", None),
        (
            &["JWT_SECRET"],
            "",
            Some(
                "JWT_SECRET was passed over: user tokens are not verified; who may call is listed in auth.clients"
                    .into(),
            ),
        ),
        (&["AUDIT_MODE"], "", Some("AUDIT_MODE was passed over: how durable a record is says audit.durability".into())),
        (&["AUDIT_MODE"], "audit: {durability: disk}", None),
        (
            &["AUDIT_MODE"],
            "audit: {durability: \"${NOBODY_SET_THIS}\"}",
            Some("AUDIT_MODE was passed over: how durable a record is says audit.durability".into()),
        ),
        (
            &["AUDIT_FALLBACK_PATH"],
            "",
            Some("AUDIT_FALLBACK_PATH was passed over: records wait in a file with audit.on_failure: spill".into()),
        ),
        (&["DEPLOYMENT_MODE"], "", Some(community.to_owned())),
        (&["STRANGER_ACTION"], "", None),
    ] {
        let loaded = load(body, &set(names));
        assert_eq!(loaded.warnings, expected.into_iter().collect::<Vec<_>>(), "{names:?} {body}");
    }
    let client = format!("auth: {{mode: clients, clients: [{{id: a, secret_sha256: \"{}\"}}]}}", "ab".repeat(32));
    assert!(load(&client, &set(&["DEPLOYMENT_MODE", "JWT_SECRET"])).warnings.is_empty());
}

#[test]
fn weights_of_the_variable_that_leave_nobody_any_traffic_are_its_error() {
    let idle = full().with("PROVIDER_WEIGHTS", "openai:1");
    let error = parse("version: \"1.0\"\nllm_providers: {mistral: {}, openai: {}}", &idle).unwrap_err().to_string();
    assert_eq!(
        error,
        "environment variable PROVIDER_WEIGHTS: found the text \"openai:1\", allowed: a weight above 0 for a provider that is \
         started, which is mistral"
    );
}

#[test]
fn the_default_model_of_codestrals_host_is_one_that_it_has() {
    let of = |config: &str, environment: &Environment| {
        let body = format!("llm_providers: {{mistral: {{credentials: {{api_key: k}}, config: {{{config}}}}}}}");
        load(&body, environment).config.providers[0].model.clone()
    };
    let there = "endpoint: \"https://codestral.mistral.ai/v1\"";
    let none = environment([]);
    assert_eq!(of(there, &none), "codestral-latest");
    assert_eq!(of(&format!("{there}, model: codestral-2508"), &none), "codestral-2508");
    let there = environment([("MISTRAL_ENDPOINT", "https://codestral.mistral.ai")]);
    assert_eq!((of("", &there), of("", &none)), ("codestral-latest".to_owned(), "mistral-small-latest".to_owned()));
}
