"""Tools that applications report and decisions that they read, by the unmodified Python SDK of AxonFlow."""

import asyncio
from datetime import datetime, timedelta, timezone

import pytest
from test_sdk import client, gateway  # noqa: F401

from axonflow import AxonFlow
from axonflow.decisions import ListDecisionsOptions
from axonflow.exceptions import AxonFlowError, PolicyViolationError
from axonflow.read_identity import ReadScopeError
from axonflow.types import AuditSearchRequest, AuditToolCallRequest


def named(gateway, name):
    """Only the asynchronous client reads decisions."""
    return AxonFlow(gateway, name, "not-checked", cache_enabled=False)


def test_a_tool_call_is_recorded(client, gateway):  # noqa: F811
    recorded = client.audit_tool_call(
        AuditToolCallRequest(
            tool_name="getUserInfo", caller_name="claude_code", workflow_id="wf_abc123", step_id="s1", user_id="jane",
            input={"mail": "jane.doe@example.org"}, output={"age": 41}, duration_ms=45, policies_applied=["own"],
            success=False, error_message="half of it",
        )
    )
    assert recorded.status == "recorded" and recorded.audit_id
    assert client.audit_tool_call(AuditToolCallRequest(tool_name="clock", success=True)).status == "recorded"

    async def search():
        async with named(gateway, "helpdesk") as client:
            return await client.search_audit_logs(AuditSearchRequest(decision_id=recorded.audit_id))

    found = asyncio.run(search())
    assert [entry.id for entry in found.entries] == [recorded.audit_id]
    assert (found.entries[0].policy_decision, found.entries[0].request_type) == ("error", "tool-call")
    assert found.entries[0].timestamp == datetime.fromisoformat(recorded.timestamp.replace("Z", "+00:00"))
    assert "jane.doe" not in str(found)


def test_decisions_are_listed_filtered_and_explained(gateway):  # noqa: F811
    async def work():
        before = datetime.now(timezone.utc) - timedelta(seconds=2)
        async with named(gateway, "decider") as client:  # noqa: F811
            with pytest.raises(PolicyViolationError):
                await client.proxy_llm_call(user_token="jane", query="x'; DROP TABLE users; --", request_type="chat")
            checked = await client.get_policy_approved_context(user_token="jane", query="Mail jane.doe@example.org")
            clock = await client.audit_tool_call(AuditToolCallRequest(tool_name="clock"))

            listed = await client.list_decisions()
            assert [row.decision for row in listed] == ["allowed", "redacted", "blocked"]
            assert [row.policy_id for row in listed] == [None, "pii", "sql-injection"]
            assert (listed[0].decision_id, listed[0].tool_signature) == (clock.audit_id, "clock")
            assert listed[1].decision_id == checked.context_id
            assert listed[0].timestamp.utcoffset() == timedelta(0)

            async def ids(**options):
                return [row.decision_id for row in await client.list_decisions(ListDecisionsOptions(**options))]

            every = [row.decision_id for row in listed]
            assert await ids(since=before) == every
            assert await ids(since=before.replace(tzinfo=None), limit=2) == every[:2]
            assert await ids(since=before + timedelta(days=1)) == []
            assert await ids(decision="blocked") == every[2:]
            assert await ids(policy_id="pii") == every[1:2]
            assert await ids(tool_signature="clock") == every[:1]
            for wrong in ({"decision": "deny"}, {"limit": 1001}):
                with pytest.raises(AxonFlowError, match=next(iter(wrong))):
                    await ids(**wrong)

            told = await client.explain_decision(every[2])
            assert (told.decision, told.override_available, told.override_existing_id) == ("blocked", False, None)
            assert told.reason.startswith("Request blocked by policy: sql-injection")
            assert [match.policy_id for match in told.policy_matches] == ["sql-injection"]
            assert told.policy_matches[0].action == "block" and told.policy_matches[0].allow_override is False
            assert told.risk_level in {"low", "medium", "high", "critical"}
            assert told.matched_rules and told.matched_rules[0].rule_id and told.matched_rules[0].matched_on
            told = await client.explain_decision(every[1])
            assert [rule.rule_id for rule in told.matched_rules] == ["email"]
            assert "jane.doe" not in str(told)
            with pytest.raises(AxonFlowError, match="404"):
                await client.explain_decision("nobody's/id?")
            return every

    mine = asyncio.run(work())

    async def others():
        async with named(gateway, "another") as client:  # noqa: F811
            assert await client.list_decisions() == []
            with pytest.raises(AxonFlowError, match="404"):
                await client.explain_decision(mine[0])

    asyncio.run(others())


def test_a_read_as_a_person_shows_that_persons_records(gateway):  # noqa: F811
    async def work():
        async with named(gateway, "readers") as client:  # noqa: F811
            checked = {}
            for person in ("jane@example.org", "joe@example.org"):
                context = await client.get_policy_approved_context(user_token=person, query="Hello")
                checked[person] = context.context_id
            everything = {entry.id for entry in (await client.search_audit_logs()).entries}
            assert everything == set(checked.values())
            for person, own in checked.items():
                reader = client.as_user(person)
                assert [entry.id for entry in (await reader.search_audit_logs()).entries] == [own]
                assert [entry.id for entry in (await reader.get_audit_logs_by_tenant("readers")).entries] == [own]
                assert [row.decision_id for row in await reader.list_decisions()] == [own]
                assert (await reader.explain_decision(own)).decision == "allowed"
                for other in everything - {own}:
                    with pytest.raises(ReadScopeError) as refused:
                        await reader.explain_decision(other)
                    assert not refused.value.identity_missing
                assert await client.list_decisions(user_token="nobody@example.org") == []
            await client.as_user("jane@example.org").audit_tool_call(AuditToolCallRequest(tool_name="clock"))
            found = await client.search_audit_logs(AuditSearchRequest(user_email="jane@example.org"))
            assert {entry.request_type for entry in found.entries} >= {"tool-call"}

    asyncio.run(work())
