"""The local engine: one process a recording, so that one that dies takes nothing with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from h5burst import BUDGET_VARIABLE
from hdmea.batch.job import BEFORE_FIRST_STEP, Job, Outcome, Report, Status, run_job
from hdmea.batch.resources import Resources

Finished = Callable[[Outcome], None]


def run_local(
    jobs: Sequence[Job],
    resources: Resources,
    stop: threading.Event,
    report: Report,
    finished: Finished,
    *,
    retries: int = 0,
    max_failures: int | None = None,
) -> list[Outcome]:
    """Run every job in a process of its own, `resources.jobs` at once; outcomes in the order of `jobs`.

    stop: when set, no job is started any more and the running ones are told to finish their step and checkpoint. A
    worker that dies is one failed recording; `retries` more tries each; after more than `max_failures` failed ones
    the rest is not started.
    """
    pool = _Pool(resources, report)
    waiting = deque((job, 1) for job in jobs)
    outcomes: dict[str, Outcome] = {}
    failures = 0
    while pool.running or (waiting and not stop.is_set()):
        while waiting and not stop.is_set() and len(pool.running) < resources.jobs:
            pool.start(*waiting.popleft())
        if stop.is_set():
            pool.tell_to_stop()
        for job, attempt, outcome in pool.collect():
            outcome.attempts = attempt
            if outcome.status is Status.FAILED and attempt <= retries and not stop.is_set():
                report(job.dataset_id, f"failed ({outcome.reason}); trying again")
                waiting.append((job, attempt + 1))
                continue
            outcomes[job.dataset_id] = outcome
            finished(outcome)
            failures += outcome.status is Status.FAILED
        if max_failures is not None and failures > max_failures:
            waiting.clear()
    return [outcomes.get(job.dataset_id) or not_started(job) for job in jobs]


def not_started(job: Job) -> Outcome:
    return Outcome(job.dataset_id, Status.NOT_STARTED, "the batch ended before its turn", str(job.output_path))


class _Pool:
    """Running processes, each with the pipe over which it reports."""

    def __init__(self, resources: Resources, report: Report) -> None:
        methods = multiprocessing.get_all_start_methods()
        # Not fork: the parent has threads.
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self._context.set_forkserver_preload(["hdmea.batch.preload"])
        self._resources, self._report = resources, report
        self.running: dict[Connection, tuple[BaseProcess, Job, int]] = {}
        self._told = False

    def start(self, job: Job, attempt: int) -> None:
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(job, self._resources, sender), daemon=False)
        with _main_module_hidden():
            process.start()
        sender.close()  # so that the pipe ends with the worker
        self.running[receiver] = (process, job, attempt)

    def tell_to_stop(self) -> None:
        if self._told:
            return
        self._told = True
        for process, _, _ in self.running.values():
            process.terminate()  # SIGTERM: the worker finishes its step and checkpoints

    def collect(self) -> list[tuple[Job, int, Outcome]]:
        """What has ended since; passes on what the running ones report. Waits a moment at most."""
        ended = []
        for connection in wait(list(self.running), timeout=0.2):
            assert isinstance(connection, Connection)
            process, job, attempt = self.running[connection]
            try:
                message = connection.recv()
            except (EOFError, OSError):
                process.join()
                message = _death(job, process.exitcode, told=self._told)
            if isinstance(message, Outcome):
                process.join()
                connection.close()
                del self.running[connection]
                ended.append((job, attempt, message))
            else:
                self._report(job.dataset_id, message)
        return ended


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Keep a new process from importing the script that started the batch: no worker needs it, and without the usual
    `if __name__ == "__main__"` it would start the batch again.
    """
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    for name in hidden:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)


def _death(job: Job, code: int | None, *, told: bool) -> Outcome:
    """What becomes of a recording whose worker died. told: the workers had been told to stop."""
    if told and code is not None and -code in (signal.SIGTERM, signal.SIGINT):
        # It was told before it could listen, which is the first thing it does.
        return Outcome(job.dataset_id, Status.INTERRUPTED, BEFORE_FIRST_STEP, str(job.output_path), str(job.log_path))
    reason = f"the worker process ended with code {code}"
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in signal.Signals.__members__.values() else f"signal {-code}"
        hint = ": out of memory, or killed by somebody" if name == "SIGKILL" else ""
        reason = f"the worker process was killed by {name}{hint}"
    return Outcome(job.dataset_id, Status.FAILED, reason, str(job.output_path), str(job.log_path))


def _work(job: Job, resources: Resources, connection: Connection) -> None:
    """What a worker process does."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.environ["H5BURST_NUM_THREADS"] = str(resources.threads)
    os.environ[BUDGET_VARIABLE] = str(resources.memory_budget)
    outcome = run_job(job, stop, lambda dataset_id, what: connection.send(what))
    connection.send(outcome)
    connection.close()
