"""Keeps the inside of a network out of prompts: masks names and addresses of internal hosts.

A host gets the same mask wherever it stands in a request (`[HOST-1]`, `[HOST-2]`), so that the model can still tell
hosts apart.
"""

import re
from ipaddress import ip_address

from componentize_py_types import Err
from settings import Settings, SettingsError
from texts import Text, texts
from wit_world import exports
from wit_world.exports.lifecycle import Description, Rule
from wit_world.imports.types import Action, Context, Finding, Message, Severity, Verdict

CATEGORY = "internal"
HOST = Rule("internal-host", CATEGORY, "The name of an internal host")
ADDRESS = Rule("internal-address", CATEGORY, "An address in an internal network")
REFUSED = Rule("refused-host", CATEGORY, "The name of a host that must not be named")

# What could be an address; `ipaddress` decides. Each begins only where a run of its characters begins, so that no text
# needs more than one look at each character.
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:]))",
    re.ASCII | re.IGNORECASE,
)


class Rules:
    """What `configure` makes of the settings; every evaluation starts from it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        under = "|".join(re.escape(domain) for domain in {*settings.domains, *settings.refused})
        # ASCII: a letter of another alphabet right before or after the name does not belong to it.
        name = rf"(?<![a-z0-9_.-])(?:[a-z0-9_-]+\.)*(?:{under})(?!\.?[a-z0-9_-])" if under else r"(?!)"
        self._name = re.compile(name, re.ASCII | re.IGNORECASE)

    def look(self, text: str) -> list[tuple[tuple[int, int], Rule]]:
        """Spans of characters with their rules, in ascending order."""
        found = [(match.span(), self._rule_of_name(match[0].lower())) for match in self._name.finditer(text)]
        found += [(match.span(), self._rule_of_address(match[0])) for match in _ADDRESS.finditer(text)]
        return sorted(((span, rule) for span, rule in found if rule), key=lambda item: item[0])

    def _rule_of_name(self, name: str) -> Rule | None:
        if _is_under(name, self._settings.refused):
            return REFUSED
        # The domain itself (`corp.example.com`, a word like `internal`) is no host.
        if name in self._settings.domains or _is_under(name, self._settings.public):
            return None
        return HOST

    def _rule_of_address(self, text: str) -> Rule | None:
        try:
            address = ip_address(text)
        except ValueError:
            return None
        return ADDRESS if any(address in network for network in self._settings.networks) else None


def _is_under(name: str, domains: tuple[str, ...]) -> bool:
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)


class Masks:
    """Gives each host of a request its mask."""

    def __init__(self) -> None:
        self._masks: dict[str, str] = {}
        self._count = {HOST.id: 0, ADDRESS.id: 0}

    def of(self, name: str, rule: Rule) -> str:
        name = name.lower()
        if name not in self._masks:
            self._count[rule.id] += 1
            kind = "HOST" if rule is HOST else "ADDRESS"
            self._masks[name] = f"[{kind}-{self._count[rule.id]}]"
        return self._masks[name]


def judge(rules: Rules, messages: list[Message]) -> Verdict:
    verdict = Verdict(Action.ALLOW, None, [], [], None, [])
    masks = Masks()
    for text in texts(messages):
        mask(text, rules.look(text.text), masks, verdict)
    if any(finding.rule == REFUSED.id for finding in verdict.findings):
        verdict.action = Action.DENY
        verdict.reason = "The request names a host that must not be named"
    elif verdict.findings:
        verdict.action = Action.REDACT
    return verdict


def mask(text: Text, found: list[tuple[tuple[int, int], Rule]], masks: Masks, verdict: Verdict) -> None:
    """Adds to the verdict what one text holds."""
    for (span, rule), place in zip(found, text.places(span for span, _ in found)):
        severity = Severity.HIGH if rule is REFUSED else Severity.MEDIUM
        verdict.findings.append(Finding(rule.id, rule.category, severity, place))
        if rule is not REFUSED:
            verdict.edits.append(text.edit(place, span, masks.of(text.text[slice(*span)], rule)))


_rules: Rules


class Lifecycle(exports.Lifecycle):
    def configure(self, settings: str) -> None:
        global _rules
        try:
            _rules = Rules(Settings.parse(settings))
        except SettingsError as error:
            raise Err(str(error)) from error

    def describe(self) -> Description:
        return Description("internal-hosts", "1.0.0", "Masks names and addresses of internal hosts", [HOST, ADDRESS, REFUSED])


class PreCheck(exports.PreCheck):
    def evaluate(self, context: Context, messages: list[Message]) -> Verdict:
        return judge(_rules, messages)
