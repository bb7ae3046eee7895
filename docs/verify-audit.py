#!/usr/bin/env python3
"""Verifies an export of Octroi's audit trail: a second implementation of docs/audit.md, which is its specification.

    octroi audit export --output trail.jsonl
    python3 docs/verify-audit.py trail.jsonl PUBLIC_KEY...

Needs Python 3.9. Signatures need the package `cryptography`; without it the hashes alone are checked.
Exits with 0 when everything fits, 1 when something does not, 2 when the file cannot be read or is no export, 3 when the
hashes fit and signatures were not checked: whoever changes a record can make all hashes anew.
"""

import bisect
import datetime
import hashlib
import json
import struct
import sys

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None


class Misfit(Exception):
    """Something does not fit."""


class NoExport(Exception):
    """The file is something else."""


# How deep JSON may be nested.
DEPTH = 127
# Microseconds since 1970: the times that have a date.
TIMES = range(-377705023201000000, 253402207200000000 + 1)
NUMBERS = range(-(2**63), 2**63)


def once(pairs):
    """No key twice: which of the two counts, readers do not agree on."""
    line = dict(pairs)
    if len(line) < len(pairs):
        raise ValueError("a key stands twice")
    return line


def no_number(text):
    raise ValueError(f"{text} is no JSON")


def field(line, key, kind, absent=False):
    """A value of just this type: Python takes `true` for a number, and `1.0` for 1."""
    value = line.get(key)
    if absent and value is None:
        return None
    if type(value) is not kind:
        raise ValueError(f"{key}: {value!r} is no {kind.__name__}")
    if kind is int and value not in NUMBERS:
        raise ValueError(f"{key}: {value!r} is too great")
    if kind is str:
        value.encode("utf-8")
    return value


def first_line(line):
    if line.get("type") != "export" or field(line, "format", int) != 1:
        raise ValueError("the first line is none of an export of format 1")
    at = field(line, "at", str)
    datetime.datetime.fromisoformat(at[:19])
    if not at.endswith("Z"):
        raise ValueError(f"at: {at!r} is no time")
    field(line, "whole", bool)
    return line


def later_line(line):
    """A record or a signature, with everything that one has, and of the right type."""
    of_a_record = line["type"] == "record"
    texts = ("node", "kind", "id", "body") if of_a_record else ("node", "hash", "public_key", "signature")
    for key in texts:
        field(line, key, str)
    for key in ("seq", "at"):
        field(line, key, int)
    if of_a_record:
        for key in ("previous", "hash", "content"):
            field(line, key, str, absent=True)
    elif line["type"] not in ("checkpoint", "cut"):
        raise ValueError(f"{line['type']!r} is no type of a line")
    return line


def has_a_time(line):
    if line["at"] not in TIMES:
        raise ValueError(f"at: {line['at']} is no time")


def hexadecimal(value, size):
    """So many bytes. Digits may be of either case, and nothing stands between them."""
    data = bytes.fromhex(value)
    if len(data) != size or len(value) != 2 * size:
        raise ValueError(f"{value!r} is not {2 * size} hexadecimal digits")
    return data


def sequence(line):
    if line["seq"] < 1:
        raise ValueError("the first record has the number 1")
    return line["seq"]


def text(value):
    data = value.encode("utf-8")
    return struct.pack(">Q", len(data)) + data


def parsed(body):
    """A body that is a JSON object; of any other, an empty one. Of a key that stands twice, the last counts."""
    try:
        value = json.loads(
            body, object_pairs_hook=Pairs, parse_constant=no_number, parse_int=integer, parse_float=fraction
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return {}
    level = [value]
    for _ in range(DEPTH):
        level = [inner for outer in level for inner in within(outer)]
    is_deeper = any(type(inner) in (Pairs, list) for inner in level)
    return dict(value) if type(value) is Pairs and not is_deeper else {}


class Pairs(list):
    """A JSON object with all that stands in it: what does not count is to be JSON too."""


def fraction(digits):
    """As a number that has room in a float."""
    if float(digits) in (float("inf"), float("-inf")):
        raise ValueError("a number that is too great")
    return float(digits)


def integer(digits):
    """As a number that has room in a float; a zero below zero is none of the integers."""
    fraction(digits)
    return -0.0 if digits == "-0" else int(digits)


def within(value):
    return [inner for _, inner in value] if type(value) is Pairs else value if type(value) is list else ()


def number(body, key, numbers):
    value = body.get(key)
    return value if type(value) is int and value in numbers else None


def record_hash(record, previous):
    covered = b"octroi.audit.record.1\0" + struct.pack(">q", record["seq"]) + previous + struct.pack(">q", record["at"])
    return hashlib.sha256(covered + b"".join(text(record[key]) for key in ("node", "kind", "id", "body"))).digest()


class Chain:
    """One node's chain, as far as it was read."""

    def __init__(self, node, whole, keys):
        self.node, self.whole, self.keys = node, whole, keys
        # The number of its last record, and its hash.
        self.head = None
        # The number, event, `most_unsigned` and id of each `lifecycle`; the numbers that are signed.
        self.history, self.signatures = [], [0]
        self.records, self.first, self.signed, self.cut = 0, None, None, None

    def record(self, line):
        where = f"{self.node}: record {sequence(line)} ({line['kind']} {line['id']})"
        has_a_time(line)
        if line.get("hash") is None:
            if line.get("previous") is not None:
                hexadecimal(line["previous"], 32)
            raise Misfit(f"{where} has no hash")
        said, named = hexadecimal(line["hash"], 32), hexadecimal(line["previous"], 32)
        if self.head is None:
            self.head = (0, bytes(32)) if self.whole else (line["seq"] - 1, named)
        seq, previous = self.head
        if line["seq"] != seq + 1:
            raise Misfit(f"{where} stands behind record {seq}")
        found = record_hash(line, previous)
        if found != said or named != previous:
            raise Misfit(f"{where} was changed, or the one before it")
        self.head = line["seq"], found
        self.first = self.first or line["seq"]
        self.records += 1
        if line["kind"] == "retention":
            self.look_for_another_key(line)
        self.look_for_unsigned(line)

    def look_for_another_key(self, line):
        key = parsed(line["body"]).get("signed_by")
        if type(key) is str and key not in (trusted.hex() for trusted in self.keys):
            raise Misfit(f"{self.node}: record {line['seq']}: what was removed had been signed by another key, {key}")

    def look_for_unsigned(self, line):
        if line["kind"] not in ("lifecycle", "takeover"):
            return
        body = parsed(line["body"])
        if line["kind"] == "lifecycle":
            most = number(body, "most_unsigned", range(2**64))
            self.history.append((line["seq"], body.get("event"), most, line["id"]))
            return
        first, last = number(body, "from", NUMBERS), number(body, "through", NUMBERS)
        if first is not None and last is not None and last < line["seq"]:
            signed = self.signatures[bisect.bisect_right(self.signatures, max(last, 0)) - 1]
            self.can_be_left(max(first, signed + 1, self.first), last)

    def can_be_left(self, first, last):
        """Whether a gateway can have left these records unsigned."""
        has_all_starts = self.first == 1
        if first > last or not (self.whole or has_all_starts):
            return
        before = [event for event in self.history if event[0] < first]
        among = [event for event in self.history if first <= event[0] <= last]
        starts = [event for event in before if event[1] == "start"]
        most = [event[2] for event in starts]
        is_among = bool(among) and (starts or among)[-1 if starts else 0][2] is not None
        is_behind_an_end = (
            bool(starts)
            and before[-1][:2] == (first - 1, "stop")
            and before[-1][3] == starts[-1][3]
            and most[-1] is not None
        )
        # Behind a cut, one whose start was removed may write still, and leave more.
        are_too_many = has_all_starts and bool(most) and None not in most and last - first + 1 > max(most)
        if first == 1 or self.node == "operator" or is_among or is_behind_an_end or are_too_many:
            raise Misfit(f"{self.node}: records {first} to {last} were not signed, and no gateway leaves such")

    def checkpoint(self, line):
        where = f"{self.node}: the {line['type']} at record {sequence(line)}"
        has_a_time(line)
        check_signature(line, self.keys, where)
        if self.head is None and line["type"] == "cut":
            self.head = line["seq"], hexadecimal(line["hash"], 32)
            self.cut = line["seq"]
        elif self.head is None and self.whole:
            raise Misfit(f"{self.node}: records up to {line['seq']} are missing: a checkpoint covers them")
        elif self.head is None:
            raise Misfit(f"{where} stands before the first record, not where it belongs")
        elif line["seq"] > self.head[0]:
            raise Misfit(f"{self.node}: records {self.head[0] + 1} to {line['seq']} are missing at the end")
        elif line["seq"] < self.head[0] or line["type"] == "cut":
            raise Misfit(f"{where} stands behind record {self.head[0]}, not where it belongs")
        elif hexadecimal(line["hash"], 32) != self.head[1]:
            raise Misfit(f"{self.node}: records up to {line['seq']} were rewritten")
        self.signed = line["seq"]
        self.signatures.append(line["seq"])

    def end(self):
        """What is to be said of it."""
        if self.records and self.signed is None:
            raise Misfit(f"{self.node}: nothing is signed")
        seq, found = self.head or (0, bytes(32))
        self.can_be_left((self.signed or 0) + 1, seq)
        begins = ""
        if self.cut is not None:
            begins = f"; those up to {self.cut} were removed by a signed cut"
        elif self.records and self.first > 1:
            begins = f"; they begin at {self.first}"
        signed = f"signed up to {self.signed or 0}"
        return f"{self.node}: {self.records} records fit, {signed}{begins}; head {seq} {found.hex()}"


def check_signature(line, keys, where):
    domain = {"checkpoint": b"octroi.audit.checkpoint.1\0", "cut": b"octroi.audit.cut.1\0"}[line["type"]]
    key, signature = hexadecimal(line["public_key"], 32), hexadecimal(line["signature"], 64)
    signed = domain + text(line["node"]) + struct.pack(">qq", line["seq"], line["at"]) + hexadecimal(line["hash"], 32)
    if key not in keys:
        raise Misfit(f"{where} is signed by another key, {key.hex()}")
    if Ed25519PublicKey is None:
        return
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except InvalidSignature:
        raise Misfit(f"{where} has a wrong signature") from None


class Export:
    """An export, as far as it was read."""

    def __init__(self, keys):
        self.keys, self.begins, self.chains, self.older = keys, None, {}, 0

    def line(self, line):
        if self.begins is None:
            self.begins = first_line(line)
            return
        later_line(line)
        if line["type"] == "record" and not line["node"] and line.get("hash") is None:
            self.older += 1
        else:
            node = line["node"]
            chain = self.chains.setdefault(node, Chain(node, self.begins["whole"], self.keys))
            if line["type"] == "record":
                chain.record(line)
            else:
                chain.checkpoint(line)

    def end(self):
        if self.begins is None:
            raise NoExport("line 1: the file is empty")
        if self.older:
            print(f"{self.older} records are older than the chain; nothing proves them")
        for chain in self.chains.values():
            print(chain.end())
        print("texts: not checked; that takes the secret key")


def verify(lines, keys):
    export = Export(keys)
    for number, line in enumerate(lines, 1):
        try:
            once_each = json.loads(
                line, object_pairs_hook=once, parse_constant=no_number, parse_int=integer, parse_float=fraction
            )
            export.line(once_each)
        except Misfit:
            raise
        except Exception as error:  # There are as many as there are ways to be something else.
            raise NoExport(f"line {number}: {error!r}") from error
    export.end()


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        keys = {hexadecimal(key.strip(), 32) for key in sys.argv[2:]}
    except ValueError as error:
        print(f"no public key: {error}", file=sys.stderr)
        return 2
    try:
        # A line ends with a line feed alone: before it, a carriage return is white space.
        with open(sys.argv[1], encoding="utf-8", newline="\n") as lines:
            verify(lines, keys)
    except Misfit as misfit:
        print(f"it does not fit: {misfit}", file=sys.stderr)
        return 1
    except NoExport as error:
        print(f"this is no export: {error}", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"{sys.argv[1]} cannot be read: {error}", file=sys.stderr)
        return 2
    if Ed25519PublicKey is None:
        print("the hashes fit, but SIGNATURES WERE NOT CHECKED: `pip install cryptography`")
        return 3
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
