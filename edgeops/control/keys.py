"""The signing keys of a workspace: one file a role, readable by its owner only."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edgeops.core.errors import ConfigError, NotFoundError, UsageError
from edgeops.core.signing import Role, TrustRoot, accept_first_root, key_id, public_bytes, sign_root
from edgeops.files import read_or_none, write_atomic

TRUST = "trust.cose"


def make_keys(folder: Path, fleet: str) -> TrustRoot:
    """Make one key a role and the first trust root; raises ``UsageError`` when there are keys already."""
    if any((folder / f"{role.value}.pem").exists() for role in Role):
        raise UsageError(f"{folder} holds keys already; they are not overwritten", path=str(folder))
    keys = {role: Ed25519PrivateKey.generate() for role in Role}
    publics = {role: public_bytes(key) for role, key in keys.items()}
    root = TrustRoot(
        fleet,
        1,
        1,
        {key_id(public): public for public in publics.values()},
        {role.value: (key_id(public),) for role, public in publics.items()},
    )
    for role, key in keys.items():
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomic(folder / f"{role.value}.pem", pem, mode=0o600)
    write_atomic(folder / TRUST, sign_root(root, [keys[Role.ROOT]]))
    return root


def load_key(folder: Path, role: Role) -> Ed25519PrivateKey:
    """The private key of a role; raises ``NotFoundError`` or ``ConfigError``."""
    path = folder / f"{role.value}.pem"
    raw = read_or_none(path)
    if raw is None:
        raise NotFoundError(
            f"the {role.value} key is missing: {path}", fix="edgeops key init", path=str(path)
        )
    try:
        key = load_pem_private_key(raw, None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is not an unencrypted private key in PEM", file=str(path)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is not an Ed25519 key", file=str(path))
    return key


def load_trust_envelope(folder: Path) -> tuple[TrustRoot, bytes]:
    """The trust root and its envelope; raises ``NotFoundError`` or ``TrustError``."""
    raw = read_or_none(folder / TRUST)
    if raw is None:
        raise NotFoundError(f"the trust root is missing: {folder / TRUST}", fix="edgeops key init")
    return accept_first_root(raw), raw
