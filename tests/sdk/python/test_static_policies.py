"""The SDK's static policies: made, changed, tried and enforced, on a gateway that is restarted in between."""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import pytest
from test_sdk import OCTROI, PATIENCE, ROOT, free_port

from axonflow import AxonFlow
from axonflow.exceptions import AxonFlowError, PolicyViolationError
from axonflow.policies import (
    CreateStaticPolicyRequest,
    EffectivePoliciesOptions,
    ListStaticPoliciesOptions,
    PolicyAction,
    PolicyCategory,
    PolicySeverity,
    PolicyTier,
    UpdateStaticPolicyRequest,
)


@contextlib.contextmanager
def running(folder):
    """`octroi dev` without a key in this folder, until the end of the block."""
    port = free_port()
    environment = {
        "PORT": str(port),
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(ROOT / "target" / "tmp" / "sdk-cache"),
        "PATH": os.environ["PATH"],
    }
    with open(folder / "log", "a") as log:
        process = subprocess.Popen([OCTROI, "dev"], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def prepared(folder):
    """The shipped policies and configuration; a second gateway on this machine may hold the admin API's own port."""
    shutil.copytree(ROOT / "policies", folder / "policies")
    (folder / "octroi.yaml").write_text((ROOT / "octroi.yaml").read_text() + '\nadmin: { listen: "127.0.0.1:0" }\n')
    return folder


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with running(prepared(tmp_path_factory.mktemp("static-policies"))) as url:
        yield url


def sdk(url, client_id="helpdesk"):
    return AxonFlow.sync(endpoint=url, client_id=client_id, client_secret="not-checked", cache_enabled=False)


@pytest.fixture
def client(gateway):
    with sdk(gateway) as client:
        yield client


def project(letter, **fields):
    return CreateStaticPolicyRequest(
        name=f"No project {letter}", category=PolicyCategory.SENSITIVE_DATA, pattern=rf"(?i)project\s+{letter}", **fields
    )


def test_a_policy_is_made_read_changed_switched_and_deleted(client):
    made = client.create_static_policy(
        project("a", description="Stays in the house", severity=PolicySeverity.HIGH, priority=50, tags=["secret"])
    )
    assert made.id and made.policy_id.startswith("no_project_a-")
    assert (made.tier, made.tenant_id, made.version) == (PolicyTier.TENANT, "helpdesk", 1)
    assert (made.severity, made.action, made.enabled) == (PolicySeverity.HIGH, PolicyAction.BLOCK, True)
    assert client.get_static_policy(made.id) == made
    changed = client.update_static_policy(made.id, UpdateStaticPolicyRequest(action=PolicyAction.WARN, name="Project A"))
    assert (changed.name, changed.action, changed.pattern) == ("Project A", PolicyAction.WARN, made.pattern)
    off = client.toggle_static_policy(made.id, False)
    assert not off.enabled and off.version == 3
    assert made.id not in [policy.id for policy in client.get_effective_static_policies()]
    every = client.get_effective_static_policies(EffectivePoliciesOptions(include_disabled=True))
    assert made.id in [policy.id for policy in every]
    versions = client.get_static_policy_versions(made.id)
    assert [version.version for version in versions] == [3, 2, 1]
    assert [version.change_type for version in versions] == ["disabled", "updated", "created"]
    assert versions[2].snapshot["name"] == "No project a" and versions[0].changed_by == "helpdesk"
    client.delete_static_policy(made.id)
    with pytest.raises(AxonFlowError, match="NOT_FOUND"):
        client.get_static_policy(made.id)


def test_policies_are_listed_by_tier_and_tenant(gateway, client):
    made = client.create_static_policy(project("b"))
    own = client.list_static_policies(ListStaticPoliciesOptions(tier=PolicyTier.TENANT, search="project b", limit=10))
    assert [policy.id for policy in own] == [made.id]
    system = client.list_static_policies(ListStaticPoliciesOptions(tier=PolicyTier.SYSTEM))
    assert {"pii", "sql-injection", "audit-redact"} <= {policy.id for policy in system}
    with sdk(gateway, "sales") as other:
        assert made.id not in [policy.id for policy in other.list_static_policies()]
        # Without clients everybody on this machine is an admin, who may remove any tenant's rule.
        other.delete_static_policy(made.id)
    assert made.id not in [policy.id for policy in client.list_static_policies()]


def test_shipped_policies_are_read_only(client):
    assert client.get_static_policy("pii").tier == PolicyTier.SYSTEM
    for attempt in (
        lambda: client.toggle_static_policy("pii", False),
        lambda: client.update_static_policy("pii", UpdateStaticPolicyRequest(action=PolicyAction.LOG)),
        lambda: client.delete_static_policy("pii"),
    ):
        with pytest.raises(PolicyViolationError, match="system policies are changed in the policies directory"):
            attempt()


def test_a_pattern_is_tried(client):
    result = client.test_pattern(r"\b(\d{3})-\d{2}-\d{4}\b", ["SSN: 123-45-6789", "no SSN here"])
    assert result.valid and result.error is None and len(result.inputs) == 2
    assert [match.matched for match in result.matches] == [True, False]
    assert result.matches[0].groups == ["123"]
    wrong = client.test_pattern("(unclosed", ["x"])
    assert not wrong.valid and "unclosed group" in wrong.error
    with pytest.raises(AxonFlowError, match="unclosed group"):
        client.create_static_policy(
            CreateStaticPolicyRequest(name="Wrong", category=PolicyCategory.SENSITIVE_DATA, pattern="(unclosed")
        )


def is_blocked(client):
    with pytest.raises(PolicyViolationError) as raised:
        client.proxy_llm_call(user_token="anonymous", query="When does PROJECT  x start?", request_type="chat")
    assert raised.value.policy == "static-policies"
    checked = client.get_policy_approved_context(user_token="anonymous", query="When does project x start?")
    assert not checked.approved
    assert checked.block_reason == "Request blocked by policy: static-policies"


def test_a_policy_blocks_in_both_modes_after_a_restart_too(tmp_path):
    own = prepared(tmp_path)
    with running(own) as url, sdk(url) as client:
        made = client.create_static_policy(project("x"))
        is_blocked(client)
    with running(own) as url, sdk(url) as client:
        is_blocked(client)
        with sdk(url, "sales") as other:
            answer = other.proxy_llm_call(user_token="anonymous", query="When does project x start?", request_type="chat")
            assert answer.success
        client.delete_static_policy(made.id)
        assert client.get_policy_approved_context(user_token="anonymous", query="When does project x start?").approved
