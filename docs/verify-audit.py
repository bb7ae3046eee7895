#!/usr/bin/env python3
"""Verifies an export of Octroi's audit trail: a second implementation of docs/audit.md, which is its specification.

    octroi audit export --output trail.jsonl
    python3 docs/verify-audit.py trail.jsonl PUBLIC_KEY...

Needs Python 3.9. Signatures need the package `cryptography`; without it the hashes alone are checked.
Exits with 0 when everything fits, 1 when something does not, 2 when the file is no export, 3 when the hashes fit and
signatures were not checked: whoever changes a record can make all hashes anew.
"""

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


def text(value):
    data = value.encode("utf-8")
    return struct.pack(">Q", len(data)) + data


def record_hash(record, previous):
    covered = b"octroi.audit.record.1\0" + struct.pack(">q", record["seq"]) + previous + struct.pack(">q", record["at"])
    return hashlib.sha256(covered + b"".join(text(record[key]) for key in ("node", "kind", "id", "body"))).digest()


def check_signature(line, keys):
    where = f"{line['node']}: the {line['type']} at record {line['seq']}"
    if line["public_key"] not in keys:
        raise Misfit(f"{where} is signed by another key, {line['public_key']}")
    if Ed25519PublicKey is None:
        return
    domain = {"checkpoint": b"octroi.audit.checkpoint.1\0", "cut": b"octroi.audit.cut.1\0"}[line["type"]]
    signed = domain + text(line["node"]) + struct.pack(">qq", line["seq"], line["at"]) + bytes.fromhex(line["hash"])
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(line["public_key"])).verify(
            bytes.fromhex(line["signature"]), signed)
    except InvalidSignature:
        raise Misfit(f"{where} has a wrong signature") from None


def check_checkpoint(line, head, whole, keys):
    """The head that a checkpoint leaves."""
    check_signature(line, keys)
    where = f"{line['node']}: the {line['type']} at record {line['seq']}"
    if head is None and line["type"] == "cut":
        return line["seq"], bytes.fromhex(line["hash"])
    if head is None:
        if whole:
            raise Misfit(f"{line['node']}: records up to {line['seq']} are missing: a checkpoint covers them")
        raise Misfit(f"{where} stands before the first record, not where it belongs")
    if line["seq"] > head[0]:
        raise Misfit(f"{line['node']}: records {head[0] + 1} to {line['seq']} are missing at the end")
    if line["seq"] < head[0] or line["type"] == "cut":
        raise Misfit(f"{where} stands behind record {head[0]}, not where it belongs")
    if bytes.fromhex(line["hash"]) != head[1]:
        raise Misfit(f"{line['node']}: records up to {line['seq']} were rewritten")
    return head


def check_record(line, head, whole):
    """The head that a record makes."""
    where = f"{line['node']}: record {line['seq']} ({line['kind']} {line['id']})"
    if head is None:
        head = (0, bytes(32)) if whole else (line["seq"] - 1, bytes.fromhex(line["previous"]))
    if line["seq"] != head[0] + 1:
        raise Misfit(f"{where} stands behind record {head[0]}")
    found = record_hash(line, head[1])
    if found.hex() != line.get("hash") or line.get("previous") != head[1].hex():
        raise Misfit(f"{where} was changed, or the one before it")
    return line["seq"], found


def verify(lines, keys):
    first = json.loads(next(lines))
    if first.get("type") != "export" or first.get("format") != 1:
        raise ValueError("the first line is none of an export of format 1")
    heads, signed, records, older = {}, {}, {}, 0
    for line in map(json.loads, lines):
        node = line["node"]
        if line["type"] == "record" and not node and line.get("hash") is None:
            older += 1
            continue
        heads.setdefault(node, None)
        if line["type"] == "record":
            heads[node] = check_record(line, heads[node], first["whole"])
            records[node] = records.get(node, 0) + 1
        else:
            heads[node] = check_checkpoint(line, heads[node], first["whole"], keys)
            signed[node] = line["seq"]
    if older:
        print(f"{older} records are older than the chain; nothing proves them")
    for node in heads:
        if node in records and node not in signed:
            raise Misfit(f"{node}: nothing is signed")
        seq, head = heads[node] or (0, bytes(32))
        print(f"{node}: {records.get(node, 0)} records fit, signed up to {signed.get(node, 0)}; head {seq} {head.hex()}")
    print("texts: not checked; that takes the secret key")


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with open(sys.argv[1], encoding="utf-8") as lines:
            verify(lines, set(sys.argv[2:]))
    except Misfit as misfit:
        print(f"it does not fit: {misfit}", file=sys.stderr)
        return 1
    except (ValueError, KeyError, StopIteration) as error:
        print(f"this is no export: {error!r}", file=sys.stderr)
        return 2
    if Ed25519PublicKey is None:
        print("the hashes fit, but SIGNATURES WERE NOT CHECKED: `pip install cryptography`")
        return 3
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
