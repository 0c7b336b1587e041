"""Where the trials of a search run: processes that end with it, and the workers of a Dask cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from support.search_trials import found, search

from edgeops.control.search_workers import dask_workers
from edgeops.core.errors import ExitCode, MissingExtra, UnreachableError, UsageError, exit_code_of

DEADLINE_S = 60
TESTS = Path(__file__).resolve().parents[1]

SCRIPT = """\
import sys
from functools import partial
from pathlib import Path
from edgeops.cli.signals import terminate_as_interrupt
from edgeops.control.search_file import open_search
from edgeops.control.search_jobs import run_trials
from edgeops.control.search_workers import local_workers
from support.search_trials import SPACE, slow

if __name__ == "__main__":
    terminate_as_interrupt()
    folder = Path(sys.argv[1])
    try:
        with local_workers(2) as workers, open_search(folder / "a.db", {"target": "part"}, SPACE, 1) as file:
            run_trials(file, 4, workers, partial(slow, folder), lambda trial, count: None)
    except KeyboardInterrupt:
        sys.exit(130)
"""


class TestWorkers:
    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
    def test_they_end_with_their_search_however_it_ends(self, tmp_path: Path, number: signal.Signals) -> None:
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        process = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
        )
        try:
            _until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
            workers = [int(path.stem) for path in tmp_path.glob("*.pid")]
            # Ctrl-C reaches every process of a terminal
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
            out, err = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
        assert out == ""
        assert "a library talks on stdout" in err
        assert "Traceback" not in err
        assert "leaked" not in err or number == signal.SIGKILL
        _until(lambda: not any(_alive(worker) for worker in workers))
        again = search(tmp_path / "a.db", 2, identity={"target": "part"})
        assert found(again) == found(search(tmp_path / "b.db", 2))

    def test_a_dask_cluster_that_is_not_installed_or_does_not_answer_is_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(MissingExtra) as missing, dask_workers("tcp://127.0.0.1:9"):
            pass
        assert missing.value.fix == 'pip install "edgeops[dask]"'
        monkeypatch.setitem(sys.modules, "distributed", _distributed(fails=True))
        with (
            pytest.raises(UnreachableError, match="tcp://127.0.0.1:9") as silent,
            dask_workers("tcp://127.0.0.1:9"),
        ):
            pass
        assert exit_code_of(silent.value) == ExitCode.UNREACHABLE
        monkeypatch.setitem(sys.modules, "distributed", _distributed(workers=0))
        with pytest.raises(UnreachableError, match="has no workers"), dask_workers("tcp://127.0.0.1:9"):
            pass

    @pytest.mark.parametrize("address", ["", "nonsense", "tcp://host", "host:port", "tcp://a b:1"])
    def test_what_is_no_address_is_refused(self, address: str) -> None:
        with pytest.raises(UsageError, match="no address of a Dask scheduler"), dask_workers(address):
            pass

    def test_a_dask_cluster_runs_one_trial_a_worker(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "distributed", _distributed(workers=3))
        with dask_workers("tcp://here:8786") as workers:
            assert workers.count == 3
            trials = search(tmp_path / "a.db", 5, executor=workers.executor, at_once=workers.count)
        assert len(trials) == 5

    def test_a_real_dask_cluster(self, tmp_path: Path) -> None:
        distributed = pytest.importorskip("distributed", reason="edgeops[dask] is not installed")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
            ) as cluster,
            dask_workers(cluster.scheduler_address) as workers,
        ):
            assert workers.count == 2
            trials = search(tmp_path / "a.db", 6, executor=workers.executor, at_once=workers.count)
        assert len({trial.number for trial in trials}) == 6
        assert {trial.state for trial in trials} <= {"OK", "does not fit"}


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _distributed(*, workers: int = 1, fails: bool = False) -> ModuleType:
    """A module that has as much of ``distributed`` as is used."""

    class Client:
        def __init__(self, address: str, *, timeout: float, set_as_default: bool) -> None:
            del timeout, set_as_default
            if fails:
                raise TimeoutError(f"Timed out trying to connect to {address}")
            self._pool = ThreadPoolExecutor(max(workers, 1))

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *end: object) -> None:
            self._pool.shutdown()

        def nthreads(self) -> dict[str, int]:
            return {f"tcp://worker-{number}": 1 for number in range(workers)}

        def get_executor(self, *, pure: bool) -> Executor:
            assert not pure
            return self._pool

    module = ModuleType("distributed")
    module.Client = Client  # type: ignore[attr-defined]
    return module
