"""The exception tree of EdgeOps, and its exit codes.

::

    EdgeOpsError
    +-- UsageError            wrong flags, wrong configuration, wrong recipe      exit 2
    |   +-- ConfigError       a key of a file: carries file, key and value
    |   +-- DataError         a dataset that cannot be used
    |   +-- InputError        an input that does not meet a model's contract
    |   +-- MissingExtra      an optional part is not installed: names the extra
    +-- CheckFailed           a gate or a check said no                           exit 3
    |   +-- GateFailed
    |   +-- TrustError        a signature, a digest or a security counter is wrong
    |   +-- DoesNotFit        a device cannot take the model: limit and both numbers
    +-- NotFoundError         a thing that was named does not exist               exit 4
    |   +-- NoModel           a device has no model to run yet
    +-- UnreachableError      broker or database out of reach                     exit 5
    |   +-- BrokerUnreachable
    |   +-- RegistryUnreachable
    +-- InferenceFailed       the interpreter failed on a valid input             exit 1
    +-- TrainingDiverged      a training's loss is no number any more             exit 1
    +-- LifecycleError        an event that a state table does not allow             exit 1
    +-- WireError             a message that does not decode; never fatal to its receiver
    +-- StorageError          the disk is full or not writable                    exit 1
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means; the same table stands in ``docs/cli.md``."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    CHECK_FAILED = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


class EdgeOpsError(Exception):
    """Anything that EdgeOps raises on purpose.

    ``message`` says what happened and why in one line; ``fix`` is a command or an action that mends it;
    ``fields`` are the same facts for programs.
    """

    exit_code: ExitCode = ExitCode.UNEXPECTED

    def __init__(self, message: str, *, fix: str | None = None, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.fields = fields

    @property
    def kind(self) -> str:
        """The name of the error's class, e.g. ``GateFailed``."""
        return type(self).__name__


class UsageError(EdgeOpsError):
    """The caller asked for something that makes no sense."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A configuration file or recipe is wrong; fields ``file``, ``key``, ``value`` where known."""


class DataError(UsageError):
    """A dataset is unreadable, empty or not what it says."""


class InputError(UsageError):
    """An input has the wrong shape, dtype or range for the model."""


class MissingExtra(UsageError):
    """An optional dependency is not installed."""


class CheckFailed(EdgeOpsError):
    """A check ran and said no."""

    exit_code = ExitCode.CHECK_FAILED


class GateFailed(CheckFailed):
    """A quality gate said no; field ``gates`` lists those that failed."""


class TrustError(CheckFailed):
    """A signature, a digest or a security counter is wrong."""


class DoesNotFit(CheckFailed):
    """A device cannot take a model; fields ``limit``, ``needed``, ``available``."""


class NotFoundError(EdgeOpsError):
    """A thing that was named does not exist."""

    exit_code = ExitCode.NOT_FOUND


class NoModel(NotFoundError):
    """A device was asked to predict before it has run its first model."""


class UnreachableError(EdgeOpsError):
    """A server that is needed does not answer."""

    exit_code = ExitCode.UNREACHABLE


class BrokerUnreachable(UnreachableError):
    """The MQTT broker does not answer."""


class RegistryUnreachable(UnreachableError):
    """The registry's database cannot be opened or is of another schema."""


class InferenceFailed(EdgeOpsError):
    """The interpreter failed on an input that meets the contract."""


class TrainingDiverged(EdgeOpsError):
    """A training ended in values that are not finite; field ``epoch`` says when."""


class LifecycleError(EdgeOpsError):
    """An event that the lifecycle's table does not allow in that state."""


class WireError(EdgeOpsError):
    """Bytes from the network that do not decode or break a bound."""


class StorageError(EdgeOpsError):
    """A file could not be written: full disk, no permission."""


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code of ``error``: the one place where exceptions become exit statuses."""
    if isinstance(error, EdgeOpsError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return ExitCode.UNEXPECTED
