"""Rollouts in the registry: the pure engine, with rows for state and desired states for actions.

Every function works within the caller's transaction: what a step decides, what it makes desired (the outbox that is
published afterwards), the evidence and the audit entries are committed together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from sqlmodel import Session, select

from edgeops.core.errors import (
    CheckFailed,
    EdgeOpsError,
    NotFoundError,
    StorageError,
    UnreachableError,
    UsageError,
)
from edgeops.core.lifecycle import DEPLOYMENT, ROLLOUT
from edgeops.core.manifest import Manifest
from edgeops.fleet import audit
from edgeops.fleet.active_rollouts import active
from edgeops.fleet.earlier_versions import offered_before, ran_before
from edgeops.fleet.hearing import away, has_control, heard, quiet
from edgeops.fleet.judging import Judgement, forget, judge, judge_late, unjudged
from edgeops.fleet.membership import (
    Claims,
    attributes_of,
    members,
    newer_claims,
    select_devices,
)
from edgeops.fleet.rollout import engine
from edgeops.fleet.rollout.engine import Action, Command, Facts, Moved, Offer, Revert, RolloutState
from edgeops.fleet.rollout.pace import Credit
from edgeops.fleet.rollout.plan import Plan, plan_from_dict
from edgeops.fleet.standing import Standing
from edgeops.registry.artifacts import costs_of
from edgeops.registry.tables import Deployment, Device, ModelVersion, Rollout


@dataclass(frozen=True)
class Outside:
    """What a step needs from outside: manifests by digest, and how to make something desired of a device.

    ``desire(device_id, model, manifest, plan, again)`` returns the generation that says so; ``manifest`` None asks
    for no version any more, ``again`` lets a device try what it refused. Nobody counts as silent for what is missing
    from before ``listening_since``.
    """

    manifest: Callable[[str], Manifest]
    desire: Callable[[str, str, str | None, Plan, bool], int]
    report_interval_s: float = 0.0
    listening_since: float = 0.0


def start_rollout(session: Session, version: ModelVersion, plan: Plan, actor: str, now: float) -> Rollout:
    """Start a rollout; unfinished ones of the same model lose the devices that this one selects.

    Raises ``CheckFailed`` for a version that a gate rejected, ``NotFoundError`` when no device is selected.
    """
    if version.state == "evaluation":
        raise CheckFailed(
            f"{version.model}@{version.version} was trained with --holdout, to be measured; it is not rolled out",
            fix="train it without --holdout, then roll that version out",
        )
    if version.state != "registered" or version.manifest_sha256 is None:
        raise CheckFailed(
            f"{version.model}@{version.version} is {version.state}; only registered versions are rolled out",
            fix=f"edgeops model show {version.model}@{version.version} tells which gate said no",
        )
    devices = select_devices(session, plan.selector)
    if not devices:
        words = f" matches {plan.selector_text!r}" if plan.selector_text else ""
        raise NotFoundError(f"no enrolled device{words}", fix="edgeops device list shows what there is")
    rollout = Rollout(
        model_version_id=version.id or 0,
        state=ROLLOUT.next(ROLLOUT.initial, "start"),
        plan=plan.to_dict(),
        stage_since=now,
        created_by=actor,
        created_at=now,
    )
    session.add(rollout)
    session.flush()
    for device in devices:
        session.add(Deployment(rollout_id=rollout.id or 0, device_id=device.id, state="waiting", since=now))
    audit.record(session, now, actor, "start", subject(rollout), None, {"plan": plan.to_dict()})
    _supersede(session, rollout, version, now)
    session.flush()
    return rollout


def subject(rollout: Rollout) -> str:
    """How the audit trail names a rollout."""
    return f"rollout {rollout.id}"


def advance(
    session: Session, rollout: Rollout, outside: Outside, now: float, standing: Standing | None = None
) -> list[Moved]:
    """One step of a rollout: see who is selected, hear the devices, judge, then offer, move or take back.

    ``standing`` is shared by the rollouts of one turn.
    """
    standing = standing or Standing(session)
    version = session.get_one(ModelVersion, rollout.model_version_id)
    rows = deployments_of(session, rollout)
    state = load(rollout, rows)
    plan = state.plan
    claims = newer_claims(session, rollout, version.model)
    wanted = standing.wanted(version.model)
    selected = members(
        standing.devices, plan.selector, claims, outside.manifest(version.manifest_sha256 or "")
    )
    if rollout.state == "ROLLING_BACK":
        selected |= _not_let_go(standing.devices, rows, claims, wanted, version)
    taken_over = [
        d for d in standing.devices if plan.selector.selects(a := attributes_of(d)) and claims.has(a)
    ]
    if not selected and taken_over and ROLLOUT.allows(rollout.state, "superseded"):
        _end(session, rollout, "superseded", "newer rollouts serve all of its devices", now)
        return []
    patience = max(plan.patience_s, 3 * outside.report_interval_s)
    silent, stopped = quiet(
        standing.devices, rows, patience, now, outside.listening_since, rollout.judged_since
    )
    models = standing.said(version.model)
    judgement = Judgement()
    if rollout.state == "COMPLETED":
        judgement = Judgement(judge_late(session, rollout, plan, rows, now))
    elif rollout.state in engine.JUDGED:
        since = now - patience
        # Who was not listened to for long enough may still tell of the older version, if there is anybody.
        heard_since = since if outside.listening_since <= since else 0.0
        left = has_control(standing.devices, models, version, rows, heard_since)
        judgement = judge(session, rollout, version, plan, rows, stopped, now, has_control=left)
    said = heard(models, wanted, version, rows)
    gone = away(standing.devices, rows, patience, now, outside.listening_since)
    facts = Facts(
        selected,
        said,
        silent,
        gone,
        judgement.refusals,
        judgement.undecided,
        version.artifact_bytes,
        costs_of(version, standing.devices) if plan.max_bytes else {},
    )
    after, actions = engine.step(state, facts, now)
    return _carry_out(session, rollout, version, rows, after, actions, outside, now)


def order(
    session: Session,
    rollout: Rollout,
    command: Command,
    actor: str,
    reason: str | None,
    outside: Outside,
    now: float,
) -> list[Moved]:
    """What a person asks of a rollout; raises ``UsageError`` where its state does not allow it."""
    if not ROLLOUT.allows(rollout.state, command):
        can = sorted(e for s, e in ROLLOUT.transitions if s == rollout.state and e in _COMMANDS)
        raise UsageError(
            f"rollout {rollout.id} is {rollout.state}: it cannot be asked to {_COMMANDS[command]}",
            fix=f"it can be asked to {', '.join(_COMMANDS[c] for c in can)}"
            if can
            else "start another rollout",
            state=rollout.state,
        )
    version = session.get_one(ModelVersion, rollout.model_version_id)
    rows = deployments_of(session, rollout)
    if command == "resume":
        rollout.judged_since = now
        forget(session, rollout, version, rows)
    claims = newer_claims(session, rollout, version.model)
    taken = [d.id for d in Standing(session).devices if d.id in rows and claims.has(attributes_of(d))]
    state = engine.without(load(rollout, rows), taken, now)
    after, actions = engine.command(state, command, actor, reason, now)
    return _carry_out(session, rollout, version, rows, after, actions, outside, now)


def try_again(
    session: Session, rollout: Rollout, device_ids: frozenset[str] | None, actor: str, now: float
) -> list[str]:
    """Let devices that failed or went back wait for the version again; returns which.

    Raises ``UsageError`` for a rollout that is over, ``NotFoundError`` for a device that it does not serve.
    """
    if rollout.state in engine.OVER:
        raise UsageError(
            f"rollout {rollout.id} is {rollout.state}: it offers its version to nobody any more",
            fix="edgeops rollout start",
            state=rollout.state,
        )
    rows = deployments_of(session, rollout)
    unknown = sorted((device_ids or frozenset()) - rows.keys())
    if unknown:
        raise NotFoundError(
            f"rollout {rollout.id} does not serve {', '.join(unknown)}",
            fix=f"edgeops rollout show {rollout.id}",
        )
    after, again = engine.retry(load(rollout, rows), device_ids, now)
    _save(session, rollout, rows, after, now)
    for device_id in again:
        rows[device_id].attempt += 1
        audit.record(session, now, actor, "retry", subject(rollout), None, {"device": device_id})
    return again


def deployments_of(session: Session, rollout: Rollout) -> dict[str, Deployment]:
    """The rows of a rollout's devices, by device, in the order of their ids."""
    query = select(Deployment).where(Deployment.rollout_id == rollout.id).order_by(Deployment.device_id)
    return {row.device_id: row for row in session.exec(query)}


def load(rollout: Rollout, rows: Mapping[str, Deployment]) -> RolloutState:
    """The engine's state of a rollout."""
    return RolloutState(
        rollout.id or 0,
        rollout.state,
        plan_from_dict(rollout.plan),
        rollout.stage,
        rollout.stage_since,
        Credit(rollout.credit, rollout.credit_at),
        {
            row.device_id: engine.Deployment(
                row.device_id,
                row.state,
                row.stage,
                row.reason,
                row.since,
                row.offered_at,
                row.offered_at is not None and row.before is None,
                row.state == "failed" and row.since <= rollout.judged_since,
            )
            for row in rows.values()
        },
    )


def _carry_out(
    session: Session,
    rollout: Rollout,
    version: ModelVersion,
    rows: dict[str, Deployment],
    after: RolloutState,
    actions: list[Action],
    outside: Outside,
    now: float,
) -> list[Moved]:
    _save(session, rollout, rows, after, now)
    moves = []
    for action in actions:
        match action:
            case Offer(device_id):
                row = rows[device_id]
                if row.before is None:
                    row.before = ran_before(session, device_id, version)
                again = row.generation > 0 or offered_before(session, rollout, device_id)
                wish = (device_id, version.model, version.manifest_sha256, after.plan, again)
                row.generation = _desired_or_failed(row, outside, wish, now) or row.generation
            case Revert(device_id):
                row = rows[device_id]
                plain = replace(after.plan, shadow_inferences=0)
                wish = (device_id, version.model, row.before, plain, False)
                generation = _desired_or_failed(row, outside, wish, now)
                row.reverted_generation = generation or row.reverted_generation
            case Moved():
                moves.append(action)
                if action.event == "completed":
                    rollout.reason = unjudged(session, rollout, after.plan, rows)
                elif action.event != "all_reverted":  # why it was taken back stays the reason
                    rollout.reason = action.reason
                audit.record(
                    session,
                    now,
                    action.by,
                    action.event,
                    subject(rollout),
                    action.reason,
                    {"from": action.source, "to": action.target, "stage": action.stage + 1},
                )
    if ends(after.lifecycle):
        rollout.finished_at = now if rollout.finished_at is None else rollout.finished_at
    elif moves:
        rollout.finished_at = None
    return moves


def _desired_or_failed(
    row: Deployment, outside: Outside, wish: tuple[str, str, str | None, Plan, bool], now: float
) -> int | None:
    """The generation that says what is wanted; None where it cannot be said to this device, which is then failed or
    stuck with the reason. The others are served all the same.
    """
    try:
        return outside.desire(*wish)
    except (StorageError, UnreachableError):
        raise
    except EdgeOpsError as error:
        row.state, row.reason = DEPLOYMENT.next(row.state, "failed"), error.message
        row.since = row.decided_at = now
        return None


def ends(lifecycle: str) -> bool:
    """Whether a rollout in this state has reached its end."""
    return lifecycle in ("COMPLETED", "ABORTED", "ROLLED_BACK", "SUPERSEDED")


def _save(
    session: Session, rollout: Rollout, rows: dict[str, Deployment], after: RolloutState, now: float
) -> None:
    for device_id, deployment in after.deployments.items():
        row = rows.get(device_id)
        if row is None:
            row = rows[device_id] = Deployment(rollout_id=after.id, device_id=device_id, state="")
        if (row.state, row.reason, row.since) == (deployment.state, deployment.reason, deployment.since):
            continue
        if deployment.state not in (row.state, "left"):
            row.decided_at = now if deployment.state in engine.SETTLED else None
        if deployment.state == "confirmed":
            row.confirmed_at = now if row.confirmed_at is None else row.confirmed_at
        elif deployment.state != "left":
            row.confirmed_at = None
        row.state, row.reason, row.since = deployment.state, deployment.reason, deployment.since
        row.stage, row.offered_at = deployment.stage, deployment.offered_at
        session.add(row)
    rollout.state, rollout.stage, rollout.stage_since = after.lifecycle, after.stage, after.stage_since
    rollout.credit, rollout.credit_at = after.credit.offers, after.credit.at
    session.add(rollout)


def _not_let_go(
    devices: Iterable[Device],
    rows: Mapping[str, Deployment],
    claims: Claims,
    wanted: Mapping[str, str | None],
    version: ModelVersion,
) -> dict[str, str | None]:
    """Devices that are no longer selected, but that no rollout has served since: they go back with the others."""
    return {
        device.id: None
        for device in devices
        if (row := rows.get(device.id)) is not None
        and row.offered_at is not None
        and (row.state == "reverting" or wanted.get(device.id) == version.manifest_sha256)
        and not claims.has(attributes_of(device))
    }


def _supersede(session: Session, newest: Rollout, version: ModelVersion, now: float) -> None:
    """End the unfinished rollouts that this one leaves without a device."""
    for older in active(session):
        model = session.get_one(ModelVersion, older.model_version_id).model
        if older.id == newest.id or model != version.model or not ROLLOUT.allows(older.state, "superseded"):
            continue
        mine = {device.id for device in select_devices(session, plan_from_dict(newest.plan).selector)}
        theirs = {device.id for device in select_devices(session, plan_from_dict(older.plan).selector)}
        if theirs <= mine:
            _end(session, older, "superseded", f"rollout {newest.id} serves its devices", now)


def _end(session: Session, rollout: Rollout, event: str, reason: str, now: float) -> None:
    source = rollout.state
    rollout.state, rollout.reason, rollout.finished_at = ROLLOUT.next(source, event), reason, now
    detail = {"from": source, "to": rollout.state, "stage": rollout.stage + 1}
    audit.record(session, now, audit.ENGINE, event, subject(rollout), reason, detail)
    session.add(rollout)


_COMMANDS: dict[str, str] = {
    "pause": "pause",
    "resume": "resume",
    "abort": "abort",
    "approve": "approve",
    "roll_back": "roll back",
}
