"""Finds names and addresses of internal hosts in a text.

Each expression begins with a literal, for which the search is fast; what stands to its left is looked for only where
one was found. All classes are ASCII: a letter of another alphabet right beside a name does not belong to it.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from settings import Settings
from wit_world.exports.lifecycle import Rule

CATEGORY = "internal"
HOST = Rule("internal-host", CATEGORY, "The name of an internal host")
ADDRESS = Rule("internal-address", CATEGORY, "An address in an internal network")
REFUSED = Rule("refused-host", CATEGORY, "The name of a host that must not be named")
RULES = [HOST, ADDRESS, REFUSED]

# A span of characters, and the rule that it is under.
Found = tuple[tuple[int, int], Rule]

_FLAGS = re.ASCII | re.IGNORECASE
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_IPV4 = re.compile(r"(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])", _FLAGS)
_DIGITS = frozenset("0123456789")
_IPV6 = re.compile(r":[0-9a-f]{0,4}:[0-9a-f:]*(?!\w|\.[0-9])", _FLAGS)
_HEX = frozenset("0123456789abcdefABCDEF")
# JSON's escapes without their backslash: the name in `\ndb1` is `db1`.
_ESCAPE = re.compile(r"[bfnrt]|u[0-9a-fA-F]{4}")


class Hosts:
    """What to look for. Made once by `configure`; every evaluation starts from it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        domains = [*settings.domains, *(name.partition(".")[2] for name in settings.refused)]
        under = "|".join(re.escape(domain) for domain in dict.fromkeys(domains))
        self._under = re.compile(rf"\.(?:{under})(?!\.?[a-z0-9_-])" if under else r"(?!)", _FLAGS)

    def find(self, text: str) -> list[Found]:
        """In ascending order, and apart from each other."""
        apart: list[Found] = []
        for found in sorted([*self._names(text), *self._addresses(text)], key=lambda found: found[0]):
            if not apart or found[0][0] >= apart[-1][0][1]:
                apart.append(found)
        return apart

    def _names(self, text: str) -> Iterator[Found]:
        end = 0
        for match in self._under.finditer(text):
            start = _begin(text, match.start(), _NAME, end)
            end = match.end()
            start += _escape(text, start)
            name = text[start:end].rpartition("..")[2].lstrip(".-")
            if rule := self._rule(name.lower()):
                yield (end - len(name), end), rule

    def _rule(self, name: str) -> Rule | None:
        if _is_under(name, self._settings.refused):
            return REFUSED
        # A domain itself (`corp.example.com`) is no host.
        inside = _is_under(name, self._settings.domains) and name not in self._settings.domains
        return HOST if inside and not _is_under(name, self._settings.public) else None

    def _addresses(self, text: str) -> Iterator[Found]:
        for anchor, left in ((_IPV4, _DIGITS), (_IPV6, _HEX)):
            for match in anchor.finditer(text):
                span = (_begin(text, match.start(), left), match.end())
                if self._is_inside(text[slice(*span)]):
                    yield span, ADDRESS

    def _is_inside(self, text: str) -> bool:
        # An error costs more than a look.
        if ":" in text and "::" not in text and text.count(":") != 7:
            return False
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._settings.networks)


def _is_under(name: str, domains: tuple[str, ...]) -> bool:
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)


def _begin(text: str, start: int, characters: frozenset[str], first: int = 0) -> int:
    """Where the run of these characters that ends before `start` begins, not before `first`."""
    while start > first and text[start - 1] in characters:
        start -= 1
    return start


def _escape(text: str, start: int) -> int:
    """How many characters from `start` on belong to an escape of JSON."""
    backslashes = start - _begin(text, start, frozenset("\\"))
    escape = _ESCAPE.match(text, start) if backslashes % 2 == 1 else None
    return len(escape[0]) if escape else 0
