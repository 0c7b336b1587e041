"""Signatures and trust roots: who must have signed what before a device believes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.packages import KEYS, key, trust_root

from edgeops.core.codec import dump, load
from edgeops.core.errors import TrustError, WireError
from edgeops.core.signing import (
    COSE_SIGN_TAG,
    MAX_ENVELOPE_BYTES,
    MAX_SIGNATURES,
    Role,
    TrustRoot,
    accept_first_root,
    accept_next_root,
    key_id,
    public_bytes,
    sign,
    sign_root,
    unverified_payload,
    verify,
)

PAYLOAD = b"what is signed"
TRUST = trust_root()


def shared_root(threshold: int, *names: str) -> TrustRoot:
    """A root whose every role has these keys and this threshold."""
    publics = [public_bytes(key(name)) for name in names]
    ids = tuple(key_id(public) for public in publics)
    return TrustRoot(
        "plant", 1, threshold, dict(zip(ids, publics, strict=True)), {role.value: ids for role in Role}
    )


class TestVerify:
    @pytest.mark.parametrize("role", list(Role))
    def test_the_role_s_key_is_believed(self, role: Role) -> None:
        assert verify(sign(PAYLOAD, "manifest", [KEYS[role]]), "manifest", role, TRUST) == PAYLOAD

    @pytest.mark.parametrize("role", list(Role))
    @pytest.mark.parametrize("signer", list(Role))
    def test_another_role_s_key_is_not(self, role: Role, signer: Role) -> None:
        if role is not signer:
            with pytest.raises(TrustError, match=role.value):
                verify(sign(PAYLOAD, "manifest", [KEYS[signer]]), "manifest", role, TRUST)

    def test_a_signature_for_one_purpose_is_worth_nothing_for_another(self) -> None:
        with pytest.raises(TrustError):
            verify(sign(PAYLOAD, "manifest", [KEYS[Role.DEPLOY]]), "desired", Role.DEPLOY, TRUST)

    def test_nobody_s_signature_is_none(self) -> None:
        for keys in ([], [key("stranger")]):
            with pytest.raises(TrustError, match="by 0 of"):
                verify(sign(PAYLOAD, "manifest", keys), "manifest", Role.RELEASE, TRUST)

    def test_a_threshold_of_0_still_asks_for_one(self) -> None:
        with pytest.raises(TrustError):
            verify(sign(PAYLOAD, "manifest", []), "manifest", Role.RELEASE, replace(TRUST, threshold=0))

    @pytest.mark.parametrize("threshold", [1, 2, 3])
    def test_a_threshold_of_different_keys_must_sign(self, threshold: int) -> None:
        root = shared_root(threshold, "a", "b", "c")
        for count in range(4):
            envelope = sign(PAYLOAD, "manifest", [key(name) for name in "abc"[:count]])
            if count >= threshold:
                assert verify(envelope, "manifest", Role.RELEASE, root) == PAYLOAD
            else:
                with pytest.raises(TrustError, match=f"by {count} of"):
                    verify(envelope, "manifest", Role.RELEASE, root)

    def test_each_key_counts_once_however_often_it_signed(self) -> None:
        with pytest.raises(TrustError, match="by 1 of"):
            verify(sign(PAYLOAD, "x", [key("a")] * 5), "x", Role.RELEASE, shared_root(2, "a", "b"))

    def test_a_bad_signature_beside_a_good_one_does_no_harm(self) -> None:
        envelope = sign(PAYLOAD, "x", [key("stranger"), KEYS[Role.RELEASE]])
        assert verify(envelope, "x", Role.RELEASE, TRUST) == PAYLOAD

    def test_a_key_under_another_s_id_is_not_believed(self) -> None:
        public = public_bytes(key("evil"))
        victim = TRUST.roles["release"][0]
        root = replace(TRUST, keys={**TRUST.keys, victim: public})
        item = load(sign(PAYLOAD, "x", [key("evil")])[2:], MAX_ENVELOPE_BYTES)
        item[3][0][1] = {4: victim}
        with pytest.raises(TrustError):
            verify(COSE_SIGN_TAG + dump(item), "x", Role.RELEASE, root)

    def test_an_altered_payload_is_refused(self) -> None:
        envelope = sign(PAYLOAD, "x", [KEYS[Role.RELEASE]])
        with pytest.raises(TrustError):
            verify(envelope.replace(b"what", b"that"), "x", Role.RELEASE, TRUST)

    def test_more_signatures_than_allowed_are_refused_unverified(self) -> None:
        envelope = sign(PAYLOAD, "x", [KEYS[Role.RELEASE]] * (MAX_SIGNATURES + 1))
        with pytest.raises(TrustError, match="malformed"):
            verify(envelope, "x", Role.RELEASE, TRUST)

    def test_an_envelope_longer_than_allowed_is_refused(self) -> None:
        with pytest.raises(TrustError, match=str(MAX_ENVELOPE_BYTES)):
            verify(sign(bytes(MAX_ENVELOPE_BYTES), "x", [KEYS[Role.RELEASE]]), "x", Role.RELEASE, TRUST)

    @given(data=st.data())
    def test_no_byte_can_be_changed(self, data: st.DataObject) -> None:
        envelope = bytearray(sign(PAYLOAD, "x", [KEYS[Role.RELEASE]]))
        place = data.draw(st.integers(0, len(envelope) - 1))
        envelope[place] ^= data.draw(st.integers(1, 255))
        with pytest.raises(TrustError):
            verify(bytes(envelope), "x", Role.RELEASE, TRUST)

    @given(raw=st.binary(max_size=200), tagged=st.booleans())
    def test_any_bytes_at_all_are_a_trust_error(self, raw: bytes, tagged: bool) -> None:
        with pytest.raises(TrustError):
            verify((COSE_SIGN_TAG if tagged else b"") + raw, "x", Role.RELEASE, TRUST)

    @given(
        item=st.recursive(
            st.integers(-9, 9) | st.binary(max_size=3) | st.text(max_size=2),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 5), inner, max_size=2),
        )
    )
    def test_any_well_formed_cbor_is_a_trust_error(self, item: object) -> None:
        for shape in (item, [b"", {}, b"p", [item]], [b"", {}, b"p", item]):
            with pytest.raises(TrustError):
                verify(COSE_SIGN_TAG + dump(shape), "x", Role.RELEASE, TRUST)

    def test_the_payload_can_be_shown_without_any_check(self) -> None:
        assert unverified_payload(sign(PAYLOAD, "x", [])) == PAYLOAD
        with pytest.raises(WireError):
            unverified_payload(PAYLOAD)

    def test_the_same_key_and_payload_give_the_same_bytes(self) -> None:
        assert sign(PAYLOAD, "x", [key("a")]) == sign(PAYLOAD, "x", [key("a")])


class TestFirstRoot:
    def test_is_signed_by_its_own_root_key(self) -> None:
        assert accept_first_root(sign_root(TRUST, [KEYS[Role.ROOT]])) == TRUST

    @pytest.mark.parametrize("signer", [Role.RELEASE, Role.DEPLOY])
    def test_and_by_no_other(self, signer: Role) -> None:
        with pytest.raises(TrustError):
            accept_first_root(sign_root(TRUST, [KEYS[signer]]))

    def test_must_be_a_root_at_all(self) -> None:
        for envelope in (b"", sign(b"\x01", "trust", [KEYS[Role.ROOT]])):
            with pytest.raises(TrustError, match="unreadable"):
                accept_first_root(envelope)


class TestNextRoot:
    NEXT = trust_root(version=2, release=key("new release"))
    ROTATED = trust_root(version=2, root=key("new root"))

    def test_is_signed_by_the_old_and_the_new_keys(self) -> None:
        assert accept_next_root(TRUST, sign_root(self.NEXT, [KEYS[Role.ROOT]])) == self.NEXT
        both = [KEYS[Role.ROOT], key("new root")]
        assert accept_next_root(TRUST, sign_root(self.ROTATED, both)) == self.ROTATED

    @pytest.mark.parametrize("keys", [[], [KEYS[Role.ROOT]], [key("new root")]], ids=["none", "old", "new"])
    def test_one_side_alone_is_not_enough_when_the_root_key_changes(self, keys: list[object]) -> None:
        with pytest.raises(TrustError):
            accept_next_root(TRUST, sign_root(self.ROTATED, keys))  # type: ignore[arg-type]

    @pytest.mark.parametrize("version", [0, 1, 3, 2**32 - 1])
    def test_its_version_is_exactly_one_higher(self, version: int) -> None:
        other = trust_root(version=version, release=key("new release"))
        with pytest.raises(TrustError, match="does not follow"):
            accept_next_root(TRUST, sign_root(other, [KEYS[Role.ROOT]]))

    def test_the_same_root_again_changes_nothing(self) -> None:
        assert accept_next_root(TRUST, sign_root(TRUST, [KEYS[Role.ROOT]])) is TRUST

    def test_another_fleet_s_root_is_refused(self) -> None:
        with pytest.raises(TrustError):
            accept_next_root(TRUST, sign_root(trust_root("other", 2), [KEYS[Role.ROOT]]))

    def test_keys_of_the_old_root_are_not_believed_under_the_new_one(self) -> None:
        envelope = sign(PAYLOAD, "manifest", [KEYS[Role.RELEASE]])
        assert verify(envelope, "manifest", Role.RELEASE, TRUST) == PAYLOAD
        with pytest.raises(TrustError):
            verify(envelope, "manifest", Role.RELEASE, self.NEXT)
