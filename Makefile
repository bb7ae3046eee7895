# What people do daily. `make` alone lists it.

WASM      := wasm32-unknown-unknown
POLICIES  := pii sql-injection audit-redact pattern
GUESTS    := target/$(WASM)/guest
VENV      := target/venv
CLIENTS   := target/venv-clients
PYTHON    ?= python3
EXAMPLES  := plugins/examples/javascript-secrets/secrets.wasm plugins/examples/python-internal-hosts/internal-hosts.wasm
FUZZ_TARGETS := manifest module verdict
FUZZ_SECONDS ?= 60
# What a release is optimised by: what a gateway ran through under load. Its builds have folders of their own.
PROFILE   := $(CURDIR)/target/octroi.profdata
SHIPPED   := RUSTFLAGS="--cfg shipped -Cprofile-use=$(PROFILE)" CARGO_TARGET_DIR=target/shipped cargo

.DEFAULT_GOAL := help
.PHONY: help dev build plugins examples postgres test clients soak lint fmt fuzz docs golden bench bench-http release deny target

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

target:
	@rustup target list --installed 2>/dev/null | grep -qx $(WASM) || rustup target add $(WASM)

plugins: target ## build the policies into policies/
	cargo build --locked --profile guest --target $(WASM) $(addprefix -p ,$(POLICIES))
	@for policy in $(POLICIES); do \
		built="$(GUESTS)/$$(echo $$policy | tr - _).wasm"; \
		cmp -s "$$built" "policies/$$policy.wasm" \
			|| { cp "$$built" "policies/.$$policy.wasm.new" && mv "policies/.$$policy.wasm.new" "policies/$$policy.wasm"; } \
			|| exit 1; \
	done

examples: $(EXAMPLES) ## build the example policies (needs Node 20 and Python 3.10)
	cargo build --locked --profile guest --target $(WASM) -p no-project-x -p request-limit

# As an author would. No two builds give the same bytes, so only when something changed: the gateway compiles them anew.
.SECONDEXPANSION:
$(EXAMPLES): $$(wildcard $$(@D)/src/*.* $$(@D)/*.json $$(@D)/*.txt $$(@D)/wit/*.wit) $(wildcard wit/*.wit) | build
	PYTHON=$(PYTHON) target/debug/octroi policy build $(@D)

build: plugins ## build everything for development
	cargo build --locked

dev: build ## run the gateway on http://localhost:8080, offline without MISTRAL_API_KEY
	target/debug/octroi dev

postgres: ## PostgreSQL for the tests, from the system's packages, if it is missing
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || [ "$$OCTROI_SKIP_POSTGRES" = 1 ] || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
			|| { echo "make postgres: PostgreSQL 15 or later is missing; install it: sudo apt-get install postgresql"; exit 1; }; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; }

test: examples postgres $(VENV)/.ready $(CLIENTS)/.ready tests/clients/node/node_modules/.ready ## every behaviour once (needs Node 20, Python 3.10 and PostgreSQL 15)
	cargo test --locked --workspace
	cargo build --locked
	$(VENV)/bin/python -m pytest -q tests/sdk/python tests/clients/test_all.py

clients: build $(VENV)/.ready $(CLIENTS)/.ready tests/clients/node/node_modules/.ready ## LangChain, LiteLLM, Node's clients in front of it (needs Node 20)
	$(VENV)/bin/python -m pytest -q tests/clients/test_all.py

tests/clients/node/node_modules/.ready: tests/clients/node/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix tests/clients/node
	@touch $@

$(CLIENTS)/.ready: tests/clients/python/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/.ready: tests/sdk/python/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

soak: plugins ## what takes long: reload storms, the hostile suite ten times, 100 kills, latency beside spinning policies
	OCTROI_SOAK=1 cargo test --locked --test reload -- --nocapture --test-threads 1
	for round in 1 2 3 4 5 6 7 8 9 10; do \
		OCTROI_SOAK=1 cargo test --locked --test hostile -- --nocapture --test-threads 1 || exit 1; \
	done
	OCTROI_SOAK=1 cargo test --locked --test audit_kill -- --nocapture --test-threads 1
	cargo bench --locked --bench spinning

lint: target ## rustfmt and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --target $(WASM) -p octroi-policy $(addprefix -p ,$(POLICIES)) -- -D warnings

fmt: ## format
	cargo fmt --all

fuzz: ## fuzz manifests, modules and verdicts, FUZZ_SECONDS each (needs nightly Rust and cargo-fuzz)
	@cargo +nightly --version >/dev/null 2>&1 \
		|| { echo "make fuzz: nightly Rust is missing; install it: rustup toolchain install nightly"; exit 1; }
	@cargo fuzz --version >/dev/null 2>&1 \
		|| { echo "make fuzz: cargo-fuzz is missing; install it: cargo install cargo-fuzz --locked"; exit 1; }
	@cp Cargo.lock fuzz/Cargo.lock
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p target/fuzz-corpus/$$target; \
		cargo +nightly fuzz run $$target target/fuzz-corpus/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=20 -rss_limit_mb=4096 || exit 1; \
	done

docs: ## write docs/wit.md from wit/, and the audit's test vector
	OCTROI_WRITE_DOCS=1 cargo test --locked --test wit_reference
	OCTROI_WRITE_DOCS=1 cargo test --locked --lib audit::export

golden: ## write what vendors and clients get in tests/golden anew; git diff then says what changed
	OCTROI_WRITE_GOLDEN=1 cargo test --locked --test golden

bench: plugins ## the numbers of docs/measurements.md: records, evaluations, reloads, memory
	cargo bench --locked --bench audit
	cargo bench --locked --bench evaluation
	cargo bench --locked --bench gateway

bench-http: plugins $(PROFILE) ## latency, throughput and cost of the release over HTTP, beside nginx if that is installed (two cores, some minutes, and at first half an hour)
	$(SHIPPED) bench --locked --bench http

release: $(PROFILE) ## the binary as it is shipped, target/shipped/release/octroi, optimised by a profile of a run (half an hour at first)
	$(SHIPPED) build --locked --release --bin octroi

# `rm target/octroi.profdata` makes it anew, and all that was built with it: cargo does not look into it. One that is
# older than the code misses what changed, and no more. Only what gateways ran through counts: not the load generator,
# nor what builds do (`/dev/null`), nor the loader, which may not write a file of that size (`--failure-mode`).
$(PROFILE): | plugins
	rustup component add llvm-tools
	rm -rf target/profiles target/shipped
	RUSTFLAGS="--cfg shipped -Cprofile-generate=$(CURDIR)/target/profiles" CARGO_TARGET_DIR=target/profiled \
		LLVM_PROFILE_FILE=/dev/null OCTROI_BENCH_PROFILES=$(CURDIR)/target/profiles \
		cargo bench --locked --bench http -- octroi,
	"$$(rustc --print target-libdir)/../bin/llvm-profdata" merge --failure-mode=all -o $@ target/profiles

deny: ## licences, vulnerabilities and sources of dependencies (needs cargo-deny)
	cargo deny check
