"""The agent believes the keys of its trust root only, and no message or chunk that is not what it asked for."""

from __future__ import annotations

import hashlib

import pytest
from support.packages import (
    DEVICE,
    FLEET,
    KEYS,
    LABELS,
    TRIAL,
    Bench,
    build,
    image,
    key,
    poll_until_quiet,
    trust_root,
)
from support.updated_agent import FIRST, SECOND, WHOLE_UPDATE, confirmed, predict, refused_as

from device_agent.agent import Agent
from edgeops.core.errors import ConfigError
from edgeops.core.signing import Role, sign_root
from edgeops.core.topics import Kind

PUBLISHED = (FIRST, SECOND)


# -- desired states that are dropped


def test_a_desired_state_that_the_deploy_key_did_not_sign_is_dropped(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND, key=key("somebody"))
    bench.control.desire(SECOND, key=KEYS[Role.RELEASE])  # a key of this fleet, with another role
    poll_until_quiet(agent)
    assert bench.control.steps() == []
    assert any("desired is signed by 0 of the deploy keys" in line for line in bench.log)


@pytest.mark.parametrize("other", [{"device": "cam-02"}, {"fleet": "elsewhere"}], ids=str)
def test_a_desired_state_of_somebody_else_is_dropped(bench: Bench, other: dict) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND, **other)
    poll_until_quiet(agent)
    assert bench.control.steps() == []
    assert any("came to cam-01" in line for line in bench.log)


def test_a_model_whose_name_is_a_path_is_dropped(bench: Bench) -> None:
    agent = confirmed(bench)
    evil = build(1, model="../../evil")
    bench.control.publish(evil)
    bench.control.desire(evil)
    poll_until_quiet(agent)
    assert any("is not a name" in line for line in bench.log)
    bench.control.desire(SECOND)  # and the agent listens on
    poll_until_quiet(agent)
    assert bench.control.steps() == WHOLE_UPDATE[:-1]


# -- what was altered on its way


def altered(bench: Bench, agent: Agent, chunk: tuple[str, int]) -> None:
    """Someone writes rubbish to a chunk's topic, and the package is asked for."""
    bench.control.put_chunk(chunk, b"altered")
    bench.control.desire(FIRST)
    poll_until_quiet(agent)


def test_an_altered_chunk_fails_the_update_and_a_mended_one_lets_the_retry_through(bench: Bench) -> None:
    agent = bench.start()
    blob = FIRST.manifest.artifacts[0].blob
    altered(bench, agent, (blob.hex, 2))
    event = bench.control.events()[-1]
    assert event.target == "FAILED"
    assert event.reason == f"chunk 2 of blob {blob.hex[:12]} has 7 bytes, not 512"
    bench.control.put_chunk((blob.hex, 2), FIRST.chunks[(blob.hex, 2)])
    bench.control.forget()
    bench.wait(agent, 4)
    assert bench.control.steps() == []  # the back-off holds
    bench.wait(agent, 30)
    predict(agent, bench, TRIAL.inferences)
    assert bench.control.steps() == WHOLE_UPDATE


def test_a_manifest_that_does_not_match_its_digest_fails_and_is_tried_again(bench: Bench) -> None:
    agent = bench.start()
    altered(bench, agent, (FIRST.digest.hex(), 0))
    event = bench.control.events()[-1]
    assert event.target == "FAILED"
    assert "does not match its digest" in (event.reason or "")
    bench.control.put_chunk((FIRST.digest.hex(), 0), FIRST.envelope)
    bench.wait(agent, 30)
    predict(agent, bench, TRIAL.inferences)
    assert bench.control.steps()[-1] == "CONFIRMED"


def test_what_nobody_asked_for_is_not_acted_on(bench: Bench) -> None:
    agent = confirmed(bench)
    assert bench.transport is not None
    before = bench.control.state()
    for topic in (
        f"edgeops/v1/{FLEET}/device/cam-02/desired",
        f"edgeops/v1/{FLEET}/device/{DEVICE}/report",
        f"edgeops/v1/elsewhere/device/{DEVICE}/desired",
        f"edgeops/v1/{FLEET}/blob/{'ab' * 32}/0",
        f"edgeops/v1/{FLEET}/blob/nonsense/0",
        "something/else",
        "",
    ):
        from edgeops.core.transport import Received

        bench.transport._inbox.append(Received(topic, b"\xd8\x62junk"))
    poll_until_quiet(agent)
    assert bench.control.steps() == []
    assert bench.control.state() == before
    assert not list(bench.config.data.rglob("ab" * 32 + "*"))


@pytest.mark.parametrize("kind", [Kind.DESIRED, Kind.RECEIPT])
@pytest.mark.parametrize("payload", [b"", b"\xff", b"\xd8\x62\x84", bytes(20_000)], ids=len)
def test_rubbish_on_its_own_topics_is_dropped(bench: Bench, kind: Kind, payload: bytes) -> None:
    agent = confirmed(bench)
    bench.control.send(kind, payload)
    agent.poll()
    assert agent.predict(image()).label in LABELS


# -- trust


def test_a_rotated_release_key_is_believed_after_its_root_and_not_before(bench: Bench) -> None:
    agent = confirmed(bench)
    new = key("new release")
    package = build(2, keys=[new])
    bench.control.trust(trust_root(version=2, release=new), KEYS[Role.ROOT])
    agent.poll()
    bench.control.publish(package)
    bench.control.desire(package)
    poll_until_quiet(agent)
    assert bench.control.steps()[-1] == "TRIAL"
    bench.cut()
    again = bench.start()  # the new root was kept
    predict(again, bench, TRIAL.inferences)
    assert bench.control.steps()[-1] == "CONFIRMED"


@pytest.mark.parametrize(
    ("version", "signer"), [(2, key("somebody")), (3, KEYS[Role.ROOT]), (1, KEYS[Role.ROOT])]
)
def test_a_root_that_does_not_follow_is_dropped(bench: Bench, version: int, signer: object) -> None:
    agent = confirmed(bench)
    bench.control.trust(trust_root(version=version, release=key("x")), signer)  # type: ignore[arg-type]
    agent.poll()
    assert refused_as(bench, agent, build(5, keys=[key("x")]), "REJECTED").startswith(
        "manifest is signed by 0"
    )


def test_after_a_rotation_of_the_deploy_key_the_stored_desired_state_does_not_stop_a_start(
    bench: Bench,
) -> None:
    agent = confirmed(bench)
    bench.control.trust(trust_root(version=2, deploy=key("new deploy")), KEYS[Role.ROOT])
    agent.poll()
    agent.close()
    bench.control.broker.retained.clear()
    again = bench.start()
    assert again.predict(image()).model_version == 1
    assert any("stored desired state is not taken" in line for line in bench.log)


def test_a_device_without_its_trust_root_says_what_is_missing(bench: Bench) -> None:
    bench.config.trust.unlink()
    with pytest.raises(ConfigError, match="the trust root is missing") as caught:
        bench.start()
    assert "enroll" in (caught.value.fix or "")
    bench.config.trust.write_bytes(sign_root(trust_root("elsewhere"), [KEYS[Role.ROOT]]))
    with pytest.raises(ConfigError, match="of fleet 'elsewhere', not 'plant'"):
        bench.start()


def test_a_manifest_digest_names_its_bytes() -> None:
    assert FIRST.digest == hashlib.sha256(FIRST.envelope).digest()
    assert FIRST.digest != SECOND.digest
