"""Refuses requests that name a confidential project."""

import json
import re

from componentize_py_types import Err
from texts import texts, traced
from wit_world import exports
from wit_world.exports.lifecycle import Description, Rule
from wit_world.imports.types import Action, Context, Finding, Message, Severity, Verdict

RULE = Rule("project", "confidential", "The project's name")

# Set by `configure`; every evaluation starts from the memory that it left.
pattern: re.Pattern[str]


class Lifecycle(exports.Lifecycle):
    @traced
    def configure(self, settings: str) -> None:
        """Raises `Err` with a text for the operator: the key, and what is allowed."""
        global pattern
        given = json.loads(settings)
        project = given.pop("project", None)
        for key in given:
            raise Err(f"settings.{key}: unknown, expected `project`")
        if not isinstance(project, str) or not project:
            raise Err("settings.project: expected a text that is not empty")
        pattern = re.compile(re.escape(project), re.IGNORECASE)

    @traced
    def describe(self) -> Description:
        return Description("no-project-x", "1.0.0", "Keeps a project inside the house", [RULE])


class PreCheck(exports.PreCheck):
    @traced
    def evaluate(self, context: Context, messages: list[Message]) -> Verdict:
        for text in texts(messages):
            if match := pattern.search(text.text):
                [place] = text.places([match.span()])
                finding = Finding(RULE.id, RULE.category, Severity.HIGH, place)
                reason = "The request names a confidential project"
                return Verdict(Action.DENY, reason, [finding], [], None, [])
        return Verdict(Action.ALLOW, None, [], [], None, [])
