"""Tries the world around a policy: the text says what. What it got is the reason of its refusal."""

import os
import random
import socket
import time

from wit_world import exports
from wit_world.exports.lifecycle import Description
from wit_world.imports.types import Action, Context, Message, Verdict

evaluations = 0


def count() -> int:
    global evaluations
    evaluations += 1
    return evaluations


TRIES = {
    "global": count,
    "clock": time.time,
    "random": random.random,
    "entropy": lambda: os.urandom(8),
    "environment": lambda: dict(os.environ),
    "file": lambda: open("/etc/hostname").read(),
    "network": lambda: socket.create_connection(("127.0.0.1", 80)),
}


class Lifecycle(exports.Lifecycle):
    def configure(self, settings: str) -> None:
        pass

    def describe(self) -> Description:
        return Description("ambient", "1.0.0", "Tries the world around it", [])


class PreCheck(exports.PreCheck):
    def evaluate(self, context: Context, messages: list[Message]) -> Verdict:
        return Verdict(Action.DENY, str(TRIES[messages[0].parts[0].text]()), [], [], None, [])
