"""Keeps the inside of a network out of prompts: masks names and addresses of internal hosts.

A host has the same mask wherever it stands in a request (`[HOST-1]`, `[HOST-2]`), so that the model can tell hosts
apart.
"""

from componentize_py_types import Err
from hosts import ADDRESS, HOST, REFUSED, RULES, Found, Hosts
from settings import Settings, SettingsError
from texts import Text, texts, traced
from wit_world import exports
from wit_world.exports.lifecycle import Description, Rule
from wit_world.imports.types import Action, Context, Finding, Message, Severity, Verdict

# Set by `configure`; every evaluation starts from the memory that it left.
hosts: Hosts


class Lifecycle(exports.Lifecycle):
    @traced
    def configure(self, settings: str) -> None:
        global hosts
        try:
            hosts = Hosts(Settings.parse(settings))
        except SettingsError as error:
            raise Err(str(error)) from error

    @traced
    def describe(self) -> Description:
        return Description("internal-hosts", "1.0.0", "Masks names and addresses of internal hosts", RULES)


class PreCheck(exports.PreCheck):
    @traced
    def evaluate(self, context: Context, messages: list[Message]) -> Verdict:
        verdict = Verdict(Action.ALLOW, None, [], [], None, [])
        masks = Masks()
        for text in texts(messages):
            judge(text, hosts.find(text.text), masks, verdict)
        return verdict


def judge(text: Text, found: list[Found], masks: "Masks", verdict: Verdict) -> None:
    """Adds to the verdict what one text holds."""
    for (span, rule), place in zip(found, text.places(span for span, _ in found)):
        refused = rule is REFUSED
        verdict.findings.append(Finding(rule.id, rule.category, Severity.HIGH if refused else Severity.MEDIUM, place))
        if refused:
            verdict.action = Action.DENY
            verdict.reason = "The request names a host that must not be named"
        else:
            verdict.edits.append(text.edit(place, span, masks.of(text.text[slice(*span)], rule)))
            if verdict.action is Action.ALLOW:
                verdict.action = Action.REDACT


class Masks:
    """The masks of one request's hosts."""

    _KINDS = {HOST.id: "HOST", ADDRESS.id: "ADDRESS"}

    def __init__(self) -> None:
        self._masks: dict[str, dict[str, str]] = {rule: {} for rule in self._KINDS}

    def of(self, name: str, rule: Rule) -> str:
        masks = self._masks[rule.id]
        return masks.setdefault(name.lower(), f"[{self._KINDS[rule.id]}-{len(masks) + 1}]")
