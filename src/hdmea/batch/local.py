"""The local engine: recordings in processes of their own, so that one that dies takes nothing else with it."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from typing import Any

from h5burst import BUDGET_VARIABLE, console, processes
from hdmea.batch.job import BEFORE_FIRST_STEP, Job, JobOutcome, Report, Status, is_marked, skipped
from hdmea.batch.loop import FinishedAttempt
from hdmea.batch.resources import Resources

logger = logging.getLogger(__name__)

_POLL_S = 0.1
_JOIN_S = 10.0  # until a worker that has said its last word, or was killed, is gone
_STARTS = 3
_NEXT_S = 10.0  # for which a worker waits for its next recording
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT_BYTES = 1 << 29


class LocalExecutor:
    """Recordings in processes, `resources.jobs` at once. A worker that dies is one failed recording.

    jobs: those of the batch, of which finished files are looked at first, in a thread of this process.
    """

    def __init__(self, jobs: Sequence[Job], resources: Resources, report: Report) -> None:
        self.resources = resources
        marked = [job for job in jobs if is_marked(job)]
        self._checks = _Checks(marked)
        self._waiting: deque[tuple[Job, int]] = deque()
        self._pool = _Pool(resources, report, warm=len(jobs) - len(marked) > resources.jobs, preload=_preload(jobs))
        self._may_start = True

    @property
    def is_busy(self) -> bool:
        return bool(self._pool.running or self._waiting or not self._checks.are_done)

    def submit(self, job: Job, attempt: int) -> None:
        if self._may_start and not (attempt == 1 and job in self._checks):
            self._waiting.append((job, attempt))

    def collect(self) -> list[FinishedAttempt]:
        while self._waiting and len(self._pool.running) < self.resources.jobs:
            self._pool.start(*self._waiting.popleft())
        self._pool.end_free()
        ended = []
        for job, skip in self._checks.collect():
            if skip is not None:
                ended.append(FinishedAttempt(job, 1, skip))
            elif self._may_start:
                self._waiting.append((job, 1))
        ended += [FinishedAttempt(*each) for each in self._pool.collect()]
        if not self._waiting:
            self._pool.end_free()
        return ended

    def drop_waiting(self) -> None:
        self._may_start = False
        self._waiting.clear()

    def stop(self) -> None:
        self.drop_waiting()
        self._pool.tell_to_stop()
        self._checks.cancel()


class _Checks:
    """Finished files, looked at in a thread of this process while workers do the rest; more would wait for the GIL."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._done: SimpleQueue[Future[JobOutcome | None]] = SimpleQueue()
        self._jobs: dict[Future[JobOutcome | None], Job] = {self._pool.submit(skipped, job): job for job in jobs}
        for future in self._jobs:
            future.add_done_callback(self._done.put)
        self._all = {job.dataset_id for job in jobs}

    def __contains__(self, job: Job) -> bool:
        return job.dataset_id in self._all

    @property
    def are_done(self) -> bool:
        return not self._jobs

    def collect(self) -> list[tuple[Job, JobOutcome | None]]:
        """The files that were looked at since, with None for those that need work. Waits a moment at most."""
        ended: list[tuple[Job, JobOutcome | None]] = []
        while self._jobs:
            try:
                future = self._done.get(timeout=0 if ended else _POLL_S)
            except Empty:
                break
            job = self._jobs.pop(future, None)
            if job is None:  # cancelled
                continue
            try:
                ended.append((job, future.result()))
            except Exception as error:  # noqa: BLE001 - a file that cannot be looked at is the worker's to name
                logger.warning("%s: %s cannot be checked: %s", job.dataset_id, job.output_path, error)
                ended.append((job, None))
        if self.are_done:
            self._pool.shutdown()
        return ended

    def cancel(self) -> None:
        """Look at no more files; those that nobody looked at were not started."""
        self._jobs = {future: job for future, job in self._jobs.items() if not future.cancel()}


@dataclass
class _Worker:
    """A process and the recording that it has."""

    process: BaseProcess
    job: Job
    attempt: int
    jobs: int = 1  # that it was given


class _Pool:
    """Running processes, each with the pipe over which it reports, and is given its next recording.

    warm: more workers will be needed than run at once. Those after the first are forked from a server that has loaded
    what all of them use; the first ones do not wait until it has.
    """

    def __init__(self, resources: Resources, report: Report, *, warm: bool, preload: str) -> None:
        # Not fork: the parent has threads.
        self._context: Any = multiprocessing.get_context("spawn")
        self._server: Any = None
        if warm and "forkserver" in multiprocessing.get_all_start_methods():
            self._server = multiprocessing.get_context("forkserver")
            self._server.set_forkserver_preload([preload])
        self._started = 0
        self._resources, self._report = resources, report
        self.running: dict[Connection, _Worker] = {}
        self._free: list[tuple[Connection, _Worker]] = []
        self._stop_requested = False

    def start(self, job: Job, attempt: int) -> None:
        while self._free:
            connection, worker = self._free.pop()
            with suppress(OSError):  # somebody has killed it
                connection.send(job)
                worker.job, worker.attempt, worker.jobs = job, attempt, worker.jobs + 1
                self.running[connection] = worker
                return
            connection.close()
        ours, theirs = self._context.Pipe()
        if self._server is not None and self._started == 0:
            from multiprocessing import forkserver

            forkserver.ensure_running()  # it loads while the first workers are at work
        self._started += 1
        context = self._context if self._server is None or self._started <= self._resources.jobs else self._server
        try:
            process = _started(context, (job, self._resources, theirs))
        finally:
            theirs.close()  # so that the pipe ends with the worker
        self.running[ours] = _Worker(process, job, attempt)

    def end_free(self) -> None:
        """Let workers end that have no recording."""
        for connection, _ in self._free:
            connection.close()
        for _, worker in self._free:
            worker.process.join(_JOIN_S)
        self._free.clear()

    def tell_to_stop(self) -> None:
        if self._stop_requested:
            return
        self._stop_requested = True
        for worker in self.running.values():
            worker.process.terminate()  # SIGTERM: the worker finishes its step and checkpoints

    def collect(self) -> list[tuple[Job, int, JobOutcome]]:
        """Return what has ended since; pass on what the running ones report. Waits a moment at most."""
        ended = []
        ready = wait(list(self.running), timeout=_POLL_S)
        silent = [one for one in self.running if one not in ready and not _is_alive(self.running[one].process)]
        for connection in [*ready, *silent]:
            assert isinstance(connection, Connection)
            worker = self.running[connection]
            job = worker.job
            try:
                message = connection.recv() if connection.poll() else None
            except (EOFError, OSError):
                message = None
            is_over = message is None
            if message is None:
                worker.process.join(_JOIN_S)
                if worker.process.exitcode == 0 and worker.jobs > 1 and not self._stop_requested:
                    del self.running[connection]
                    self.start(job, worker.attempt)  # it had ended when this recording was sent to it
                    continue
                message = _death(job, worker.process.exitcode, stop_requested=self._stop_requested)
            if isinstance(message, JobOutcome):
                del self.running[connection]
                ended.append((job, worker.attempt, message))
                if is_over or worker.jobs >= job.JOBS_OF_A_WORKER or self._stop_requested:
                    connection.close()
                    worker.process.join(_JOIN_S)
                else:
                    self._free.append((connection, worker))
            else:
                self._report(job.dataset_id, message)
        return ended


def _preload(jobs: Sequence[Job]) -> str:
    return jobs[0].PRELOAD if jobs else Job.PRELOAD


def _started(context: Any, arguments: tuple[Any, ...]) -> BaseProcess:
    """A running worker. The server that it is forked from is started anew when somebody has killed it."""
    for attempt in range(_STARTS):
        process: BaseProcess = context.Process(target=_work, args=arguments, daemon=False)
        try:
            with _main_module_hidden():
                process.start()
        except (EOFError, OSError):
            if attempt == _STARTS - 1:
                raise
            time.sleep(0.1)
        else:
            break
    return process


def ending_signals() -> list[signal.Signals]:
    """Those that tell a process to end: a terminal that is closed sends SIGHUP, and counts unless it is ignored."""
    signals = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    return signals if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN else [*signals, hangup]


def _is_alive(process: BaseProcess) -> bool:
    """True where a worker runs, as the system says: who kills all at once may kill what would have told us, too."""
    return process.pid is None or processes.is_running(process.pid)


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


def _death(job: Job, code: int | None, *, stop_requested: bool) -> JobOutcome:
    """Outcome of a recording whose worker died. stop_requested: of the workers, before."""
    if stop_requested and code is not None and (code == 0 or -code in ending_signals()):
        # It was told before it could listen, which is the first thing it does, or before it took this recording.
        return JobOutcome(
            job.dataset_id, Status.INTERRUPTED, BEFORE_FIRST_STEP, str(job.output_path), str(job.log_path)
        )
    reason = f"the worker process ended with code {code}"
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in signal.Signals.__members__.values() else f"signal {-code}"
        hint = ": out of memory, or killed by somebody" if name == "SIGKILL" else ""
        reason = f"the worker process was killed by {name}{hint}"
    return JobOutcome(job.dataset_id, Status.FAILED, reason, str(job.output_path), str(job.log_path))


def _work(first: Job, resources: Resources, connection: Connection) -> None:
    """Run a job and those that follow it, in a worker process."""
    stop = threading.Event()
    for number in ending_signals():
        signal.signal(number, lambda *_: stop.set())
        if hasattr(signal, "siginterrupt"):
            signal.siginterrupt(number, False)  # libhdf5 takes an interrupted call for a file that cannot be opened
    os.environ["H5BURST_NUM_THREADS"] = str(resources.threads)
    os.environ[BUDGET_VARIABLE] = str(resources.memory_budget)

    def report(dataset_id: str, activity: str) -> None:
        try:
            connection.send(activity)
        except OSError:  # the batch was killed: finish the step, checkpoint, and let the next one go on from there
            stop.set()

    if first.JOBS_OF_A_WORKER > 1:
        keep_freed_memory()
    job: Job | None = first
    with console.lasting_streams(), suppress(EOFError, OSError):  # files, checkpoints and logs tell the next batch
        while job is not None:
            connection.send(job.run(stop, report))
            is_last = job.JOBS_OF_A_WORKER == 1 or stop.is_set() or not connection.poll(_NEXT_S)
            job = None if is_last else connection.recv()
    connection.close()


def keep_freed_memory() -> None:
    """Let this process keep what its arrays leave for those of its next recording; does nothing without glibc.

    The C library gives large blocks back to the system, which clears them once more for the next one who asks.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            libc.mallopt(option, _KEPT_BYTES)
