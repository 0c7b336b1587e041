"""Which retrain policy a model version has: what its recipe says, and ``edgeops.toml`` where that is silent."""

from __future__ import annotations

from pathlib import Path

from edgeops.control.settings import RetrainSettings, check_quiet_hours
from edgeops.core.errors import ConfigError, NotFoundError, UsageError
from edgeops.drift.policy import RetrainPolicy
from edgeops.fleet.rollout.hours import parse_hours
from edgeops.registry.tables import Run
from edgeops.training.recipe import Recipe, find_recipe, load_recipe

Stamp = tuple[Path, int, int]


def policy_of(settings: RetrainSettings, recipe: Recipe) -> RetrainPolicy:
    """The policy for a recipe's models; raises ``ConfigError``, naming the recipe, for one that means nothing."""
    said = recipe.retrain.policy
    try:
        check_quiet_hours(said.get("quiet_hours", ""))
        return RetrainPolicy(**{**_plain(settings.policy()), **said})
    except (UsageError, ValueError) as error:
        words = error.message if isinstance(error, UsageError) else str(error)
        raise ConfigError(
            f"{recipe.path}: [retrain]: {words}",
            fix=f"correct [retrain] in {recipe.path}",
            file=str(recipe.path),
            key="retrain",
        ) from error


def is_quiet(policy: RetrainPolicy, now: float) -> bool:
    """Whether ``now`` (seconds since the epoch) is within the policy's quiet hours."""
    return bool(policy.quiet_hours) and parse_hours(policy.quiet_hours).open_at(now)


class PolicyShelf:
    """The policies of runs. A recipe is read again when its file changed: its policy needs no new training."""

    def __init__(self, settings: RetrainSettings) -> None:
        self._settings = settings
        self._known: dict[str, tuple[Stamp, RetrainPolicy]] = {}

    def of(self, run: Run) -> RetrainPolicy:
        """The policy of a run's model; that of ``edgeops.toml`` where the recipe is not there any more.

        Raises ``ConfigError`` for a recipe that is wrong: nobody knows then what it wants.
        """
        try:
            path = find_recipe(run.recipe)
            found = path / "recipe.toml" if path.is_dir() else path
            status = found.stat()
            stamp = (found, status.st_mtime_ns, status.st_size)
        except (NotFoundError, OSError):
            return self._settings.policy()
        known = self._known.get(run.recipe)
        if known is None or known[0] != stamp:
            known = self._known[run.recipe] = (stamp, policy_of(self._settings, load_recipe(found)))
        return known[1]


def _plain(policy: RetrainPolicy) -> dict[str, object]:
    return {name: getattr(policy, name) for name in policy.__dataclass_fields__}
