"""The unmodified Python SDK of AxonFlow against a running gateway."""

import asyncio
import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import upstream

os.environ["AXONFLOW_TELEMETRY"] = "off"
os.environ["DO_NOT_TRACK"] = "1"

from axonflow import AxonFlow  # noqa: E402
from axonflow.exceptions import AxonFlowError, PolicyViolationError  # noqa: E402
from axonflow.types import AuditSearchRequest, TokenUsage  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
OCTROI = ROOT / "target" / "debug" / "octroi"
PATIENCE = 120


def free_port() -> int:
    """Below those that the system gives to whoever asks for any: it is still free when the gateway takes it."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def serving(folder, yaml="", mistral="enabled: true", **environment):
    """`octroi dev` with the shipped configuration and these further keys, of it and of its provider."""
    shutil.copytree(ROOT / "policies", folder / "policies")
    # A second gateway on this machine may hold the admin API's own port.
    shipped = (ROOT / "octroi.yaml").read_text().replace("    enabled: true\n", f"    {mistral}\n")
    (folder / "octroi.yaml").write_text(shipped + '\nadmin: { listen: "127.0.0.1:0" }\n' + yaml)
    port = free_port()
    environment = {
        "PORT": str(port),
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(ROOT / "target" / "tmp" / "sdk-cache"),
        "PATH": os.environ["PATH"],
        **environment,
    }
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([OCTROI, "dev"], cwd=folder, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError((folder / "log").read_text()) from None
            time.sleep(0.05)
    yield url
    process.terminate()
    assert process.wait(timeout=PATIENCE) == 0, (folder / "log").read_text()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    """Without a key: the real binary in front of the offline double."""
    with serving(tmp_path_factory.mktemp("gateway")) as url:
        yield url


@pytest.fixture(scope="session")
def failing(tmp_path_factory):
    """In front of a Mistral that fails as it is told to."""
    patient = "routing: { breaker: { failures: 100 } }\n"
    endpoint = {"MISTRAL_API_KEY": "offline-key", "MISTRAL_ENDPOINT": upstream.start()}
    with serving(tmp_path_factory.mktemp("failing"), patient, **endpoint) as url:
        yield url


@pytest.fixture
def client(gateway):
    with AxonFlow.sync(endpoint=gateway, client_id="helpdesk", client_secret="not-checked", cache_enabled=False) as client:
        yield client


def test_health(client):
    assert client.health_check() is True
    detailed = client.health_check_detailed()
    assert detailed.status == "healthy"


def test_proxy_call_is_answered(client):
    answer = client.proxy_llm_call(
        user_token="anonymous", query="Explain the EU AI Act in two sentences.", request_type="chat",
        context={"provider": "mistral"},
    )
    assert answer.success and not answer.blocked
    assert "EU AI Act" in str(answer.data)
    assert answer.policy_info.tenant_id == "helpdesk"


def test_blocked_call_raises_the_policy_error(client):
    with pytest.raises(PolicyViolationError) as raised:
        client.proxy_llm_call(user_token="anonymous", query="x'; DROP TABLE users; --", request_type="chat")
    assert raised.value.policy == "sql-injection"
    assert "sql-injection" in raised.value.block_reason


def test_pre_check_and_audit_with_the_id_at_once(client):
    checked = client.get_policy_approved_context(user_token="anonymous", query="Summarise ticket 4711")
    assert checked.approved and checked.context_id
    recorded = client.audit_llm_call(
        context_id=checked.context_id, response_summary="Done", provider="mistral", model="mistral-small-latest",
        token_usage=TokenUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3), latency_ms=5,
    )
    assert recorded.success and recorded.audit_id


def test_pre_check_refuses_without_raising(client):
    checked = client.get_policy_approved_context(user_token="anonymous", query="Charge 4111 1111 1111 1111")
    assert not checked.approved
    assert checked.block_reason == "Request blocked by policy: pii"
    assert checked.policies == ["pii"]


def test_redaction_is_announced(client):
    checked = client.get_policy_approved_context(user_token="anonymous", query="Write to jane.doe@example.org")
    assert checked.approved and checked.requires_redaction


def test_a_bogus_context_is_refused(client):
    with pytest.raises(AxonFlowError, match="Invalid or expired context"):
        client.audit_llm_call(
            context_id="5b0c0f0e-7c43-4f5e-9a71-3f0c9b6c2d11", response_summary="x", provider="mistral",
            model="m", token_usage=TokenUsage(prompt_tokens=0, completion_tokens=0, total_tokens=0), latency_ms=0,
        )


def test_search_finds_what_was_done_and_one_tenant_only(gateway):
    async def work():
        async with AxonFlow(gateway, "searcher", "not-checked", cache_enabled=False) as client:
            await client.proxy_llm_call(user_token="anonymous", query="Hello", request_type="chat")
            checked = await client.get_policy_approved_context(user_token="anonymous", query="Hello again")
            found = await client.search_audit_logs()
            assert found.total == 2
            assert "chat" in {entry.request_type for entry in found.entries}
            assert checked.context_id in {entry.id for entry in found.entries}
            assert {entry.policy_decision for entry in found.entries} == {"allowed"}
            narrowed = await client.search_audit_logs(AuditSearchRequest(request_type="chat", limit=1))
            assert narrowed.limit == 1
            own = await client.get_audit_logs_by_tenant("searcher")
            assert own.total == 2
            assert {entry.tenant_id for entry in own.entries} == {"searcher"}
            with pytest.raises(AxonFlowError):
                await client.get_audit_logs_by_tenant("helpdesk")

    asyncio.run(work())


def test_providers_are_listed(client):
    providers = client.list_providers()
    assert [provider.name for provider in providers] == ["mistral"]
    assert providers[0].type == "mistral" and providers[0].has_api_key
