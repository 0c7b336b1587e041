"""Loading TensorFlow without its chatter: stdout belongs to the one JSON document that a command prints."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from edgeops.core.errors import MissingExtra

# two threads that save and restore in turns would leave stdout pointing at a sink
_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def quiet(tell: bool = True) -> Iterator[None]:
    """Keep native and Python code off stdout and stderr; on an exception stderr gets it after all if ``tell``.

    Works on file descriptors, hence for the whole process: keep what runs inside short.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as sink:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        text = os.fdopen(os.dup(sink.fileno()), "w", encoding="utf-8")
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            with (
                text,
                contextlib.redirect_stdout(text),
                contextlib.redirect_stderr(text),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                yield
        except Exception:
            if tell:
                sink.seek(0)
                os.write(saved[1], sink.read()[-4000:])
            raise
        finally:
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])


_fixed_threads: list[int] = []


def load_tensorflow(threads: int = 1) -> tuple[Any, Any]:
    """The modules ``(tensorflow, keras)``; raises ``MissingExtra`` where they are not installed.

    The first call fixes TensorFlow's threads for the life of the process: sums are split by the number of
    threads, so the bytes of a model would otherwise depend on the machine's cores. At the size of most edge
    models one is no slower. ``threads_in_use`` says which number it was.
    """
    tensorflow, keras = _modules()
    if not _fixed_threads:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        _fixed_threads.append(threads)
    return tensorflow, keras


def threads_in_use() -> int:
    """How many threads an operation is split over in this process."""
    return _fixed_threads[0] if _fixed_threads else 1


@functools.cache
def _modules() -> tuple[Any, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        with quiet():
            import keras
            import tensorflow
        _mend_log()
    except ImportError as error:
        raise MissingExtra(
            f"training needs TensorFlow, which does not load: {error}",
            fix='pip install "edgeops[train]"',
            extra="train",
        ) from error
    return tensorflow, keras


def _mend_log() -> None:
    """TensorFlow's log was made while stderr was a sink that is closed by now; give it the real one."""
    importlib.import_module("absl.logging").get_absl_handler().python_handler.stream = sys.__stderr__
