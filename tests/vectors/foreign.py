"""What the independent tests share: files, hashes, signatures, by other people's code; nothing of ours is imported."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import dag_cbor
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from multiformats import CID

VECTORS = Path(__file__).resolve().parents[2] / "specs" / "vectors"


def load(name: str) -> Any:
    """Return one vector file."""
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def sha256(*parts: bytes) -> bytes:
    """Return the SHA-256 of the parts joined."""
    return hashlib.sha256(b"".join(parts)).digest()


def domain(word: str) -> bytes:
    """Return the domain prefix of a word."""
    return f"p2p-workflow/{word}/v1".encode() + b"\0"


def raw(cid: str) -> bytes:
    """Return the bytes of a CID given as text."""
    return bytes(CID.decode(cid))


def cid_of(block: bytes, codec: int = 0x71) -> bytes:
    """Return the CID of a block, as bytes."""
    return bytes((1, codec, 0x12, 0x20)) + sha256(block)


def distance(actor: bytes, anchor: bytes) -> int:
    """Return how many bits of place and anchor differ."""
    return (int.from_bytes(sha256(actor)) ^ int.from_bytes(anchor)).bit_count()


def publics() -> dict[str, bytes]:
    """Return the public key of each name."""
    return {key["name"]: bytes.fromhex(key["public"]) for key in load("keys.json")["keys"]}


def delay(key: bytes, base_ms: int, max_ms: int, n: int) -> int:
    """Return the backoff delay after failure number n."""
    whole = min(max_ms, base_ms << n)
    return whole - whole * sha256(key, n.to_bytes(4))[0] // 1024


def decoded(block: bytes) -> dict[str, Any]:
    """Return the map in a block, after seeing that the block is its one canonical encoding."""
    value = dag_cbor.decode(block)
    assert isinstance(value, dict)
    assert dag_cbor.encode(value) == block
    return dict(value)


def check_signed(block: bytes) -> None:
    """The signature is over the prefix and the canonical event without `sig`."""
    fields = decoded(block)
    sig = fields.pop("sig")
    Ed25519PublicKey.from_public_bytes(fields["actor"]).verify(sig, domain("event") + dag_cbor.encode(fields))
