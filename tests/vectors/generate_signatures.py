"""Write ``tests/vectors/signatures/ed25519.json``: signatures at the edges of what Ed25519 is.

Run from the repository: ``PYTHONPATH=. python tests/vectors/generate_signatures.py``. Deterministic: the same code
gives the same files, and a test says when they are not current.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edgeops.core.signing import public_bytes

FOLDER = Path(__file__).parent / "signatures"

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
BASE: Point = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def key(number: int) -> Ed25519PrivateKey:
    """A key from a number; for tests only."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"edgeops test key %d" % number).digest())


def add(one: Point, other: Point) -> Point:
    """The sum of two points of the curve."""
    (x, y), (u, v) = one, other
    product = D * x * u * y * v % P
    return (
        (x * v + u * y) * pow(1 + product, -1, P) % P,
        (y * v + x * u) * pow(1 - product, -1, P) % P,
    )


def times(factor: int, point: Point) -> Point:
    """A multiple of a point."""
    result: Point = (0, 1)
    while factor:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


def encoded(point: Point) -> bytes:
    """The 32 bytes of a point."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def of_order_eight() -> Point:
    """A point of order eight: what the order of the base leaves of some point of the curve."""
    for y in range(2, 100):
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(square, (P + 3) // 8, P)
        for root in (x, x * pow(2, (P - 1) // 4, P) % P):
            if root * root % P == square:
                point = times(ORDER, (root, y))
                if times(4, point) != (0, 1):
                    return point
    raise AssertionError("there is one")


def signatures() -> list[dict[str, object]]:
    """Signatures at the edges of what Ed25519 is, and what ``cryptography`` says of each.

    ``cofactor``: only a check that multiplies by the cofactor takes it, as RFC 8032 allows. Whoever makes such a one
    has the private key, or an odd public key that was put into the trust root.
    """
    message = b"edgeops"
    private = hashlib.sha512(hashlib.sha256(b"edgeops test key 1").digest()).digest()
    scalar = int.from_bytes(private[:32], "little") & (2**254 - 8) | 2**254
    public = public_bytes(key(1))
    assert encoded(times(scalar, BASE)) == public
    good = key(1).sign(message)
    odd = of_order_eight()
    identity: Point = (0, 1)

    def made(commitment: bytes, nonce: int, of: bytes = public, secret: int = scalar) -> bytes:
        hashed = hashlib.sha512(commitment + of + message).digest()
        answer = (nonce + int.from_bytes(hashed, "little") * secret) % ORDER
        return commitment + answer.to_bytes(32, "little")

    def with_answer(answer: int) -> bytes:
        return good[:32] + answer.to_bytes(32, "little")

    def flipped(raw: bytes, bit: int) -> bytes:
        return bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(raw))

    answer = int.from_bytes(good[32:], "little")
    point = times(12345, BASE)
    listed: dict[str, tuple[bytes, bytes, bytes]] = {
        "good": (good, public, message),
        "good_of_nothing": (key(2).sign(b""), public_bytes(key(2)), b""),
        "good_of_much": (key(2).sign(bytes(1000)), public_bytes(key(2)), bytes(1000)),
        "good_with_another_nonce": (made(encoded(point), 12345), public, message),
        "commitment_flipped": (flipped(good, 3), public, message),
        "sign_flipped": (flipped(good, 255), public, message),
        "answer_flipped": (flipped(good, 256), public, message),
        "message_flipped": (good, public, flipped(message, 0)),
        "another_key": (good, public_bytes(key(2)), message),
        "answer_plus_the_order": (with_answer(answer + ORDER), public, message),
        "answer_is_the_order": (with_answer(ORDER), public, message),
        "answer_of_ones": (good[:32] + b"\xff" * 32, public, message),
        "all_zeros": (bytes(64), public, message),
        "commitment_is_the_identity": (made(encoded(identity), 0), public, message),
        "identity_with_a_sign": (made(b"\x01" + bytes(30) + b"\x80", 0), public, message),
        "identity_not_reduced": (made((P + 1).to_bytes(32, "little"), 0), public, message),
        "identity_not_reduced_with_a_sign": (
            made((P + 1 + 2**255).to_bytes(32, "little"), 0),
            public,
            message,
        ),
        "minus_one_with_a_sign": (made((P - 1 + 2**255).to_bytes(32, "little"), 0), public, message),
        "commitment_not_on_the_curve": (made((2).to_bytes(32, "little"), 0), public, message),
        "key_not_on_the_curve": (good, (2).to_bytes(32, "little"), message),
        "key_of_ones": (good, b"\xff" * 32, message),
        "commitment_of_mixed_order": (made(encoded(add(point, odd)), 12345), public, message),
        "commitment_of_order_eight": (made(encoded(odd), 0), public, message),
        "key_is_the_identity": (
            made(encoded(point), 12345, encoded(identity), 0),
            encoded(identity),
            message,
        ),
        "key_of_order_eight": (made(encoded(point), 12345, encoded(odd), 0), encoded(odd), message),
    }
    cofactor = {"commitment_of_mixed_order", "commitment_of_order_eight", "key_of_order_eight"}
    rows: list[dict[str, object]] = []
    for name, (signature, of, over) in listed.items():
        try:
            Ed25519PublicKey.from_public_bytes(of).verify(signature, over)
            taken = True
        except InvalidSignature:
            taken = False
        rows.append(
            {
                "name": name,
                "signature": signature.hex(),
                "public_key": of.hex(),
                "message": over.hex(),
                "accepted": taken,
                "cofactor": name in cofactor,
            }
        )
    return rows


def files() -> dict[str, object]:
    """File name to content."""
    return {"ed25519": signatures()}


def render(document: object) -> str:
    """The text of a vector file."""
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, document in files().items():
        (FOLDER / f"{name}.json").write_text(render(document))
