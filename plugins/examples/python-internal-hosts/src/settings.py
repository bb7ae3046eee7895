"""The manifest's settings, as types that cannot hold a wrong value."""

import json
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class SettingsError(ValueError):
    """A text for the operator: the key, and what is allowed."""


@dataclass(frozen=True)
class Settings:
    # Names under these domains are masked.
    domains: tuple[str, ...]
    # Addresses in these networks are masked.
    networks: tuple[IPv4Network | IPv6Network, ...]
    # These names, and those under them, may be named.
    public: tuple[str, ...]
    # These names, and those under them, refuse the request.
    refused: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Settings":
        given = json.loads(text)
        allowed = ("domains", "networks", "public", "refused")
        for key in given:
            if key not in allowed:
                raise SettingsError(f"settings.{key}: unknown, expected one of {', '.join(allowed)}")
        refused = _domains(given, "refused")
        for name in refused:
            if "." not in name:
                raise SettingsError(f"settings.refused: `{name}` has no dot, expected one like vault.corp.example.com")
        return cls(
            domains=_domains(given, "domains"),
            networks=tuple(_network(item) for item in _texts(given, "networks")),
            public=_domains(given, "public"),
            refused=refused,
        )


def _texts(given: dict, key: str) -> list[str]:
    value = given.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SettingsError(f"settings.{key}: expected a list of texts")
    return value


def _domains(given: dict, key: str) -> tuple[str, ...]:
    domains = tuple(item.lower() for item in _texts(given, key))
    for domain in domains:
        if not _DOMAIN.fullmatch(domain):
            raise SettingsError(f"settings.{key}: `{domain}` is no domain, expected one like corp.example.com")
    return domains


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise SettingsError(f"settings.networks: {error}, expected a network like 10.0.0.0/8") from error
