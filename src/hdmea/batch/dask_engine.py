"""The dask engine: recordings on the workers of a dask.distributed cluster."""

from __future__ import annotations

import importlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from h5burst import memory_budget
from hdmea.batch.job import (
    Job,
    JobOutcome,
    Report,
    Status,
    forget_peak_memory,
)
from hdmea.batch.loop import FinishedAttempt, not_started
from hdmea.batch.resources import Resources
from hdmea.utils.exceptions import ConfigurationError

_POLL_S = 0.1
_FILE_S = 30  # in which a scheduler that has just been started writes its file
_MAX_COLLATERAL_RETRIES = (
    3  # times that a recording may be found waiting on a worker that died, before it counts as a failure
)
_WORKER_SHARE = 0.8  # of a worker's memory limit: dask pauses a worker beyond it
_PYTHON_BYTES = 256 << 20  # of it, for what is no array


class Future(Protocol):
    """Part of a future of dask that is used."""

    status: str

    def done(self) -> bool: ...
    def result(self) -> Any: ...
    def exception(self) -> BaseException: ...


@dataclass(frozen=True)
class Sizes:
    """Threads and bytes of arrays of each recording; None: what its worker has for it."""

    threads: int | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Cluster:
    """Place of a scheduler: its address, or the file that it wrote; neither: one of our own. sizes: of recordings."""

    scheduler: str | None = None
    scheduler_file: str | None = None
    sizes: Sizes = Sizes()

    def wait_for_file(self) -> None:
        """Wait for the file of a scheduler that has just been started: dask itself would wait without end.

        Raises `FileNotFoundError`.
        """
        began = time.monotonic()
        while self.scheduler_file is not None and not os.path.exists(self.scheduler_file):
            if time.monotonic() - began > _FILE_S:
                raise FileNotFoundError(
                    f"no scheduler has written {self.scheduler_file} for {_FILE_S} s:"
                    f" start it with dask scheduler --scheduler-file {self.scheduler_file}"
                )
            time.sleep(_POLL_S)


@contextmanager
def dask_executor(report: Report, retries: int, cluster: Cluster) -> Iterator[DaskExecutor]:
    """An executor on a cluster, connected for the block.

    Workers share the file system with this process. A worker that dies is one failed recording, tried again on another
    worker `retries` times; what waited on that worker is asked for again. Raises `ConfigurationError` without dask,
    `OSError` when the scheduler does not answer.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigurationError('the dask engine needs: pip install "h5burst[hpc]"') from error
    with (
        distributed.Client(
            address=cluster.scheduler, scheduler_file=cluster.scheduler_file, set_as_default=False
        ) as client,
        client.as_current(),
    ):
        client.run_on_scheduler(_allow_failures, retries)
        words = _Words(f"hdmea-{uuid.uuid4().hex}", client)
        executor = DaskExecutor(client, distributed.as_completed([]), report, words, cluster.sizes)
        try:
            yield executor
        finally:
            executor.cancel()
            with suppress(Exception):  # of a scheduler that is gone nothing needs to be put back
                client.run_on_scheduler(_allow_as_before)


class _Words:
    """Words of a batch to its recordings wherever they run: to end, or only that no more are started."""

    def __init__(self, name: str, client: Any) -> None:
        self.name, self._client, self._said = name, client, set[str]()

    def say(self, word: str) -> None:
        if word in self._said or self._client.status != "running":
            return
        self._said.add(word)
        distributed: Any = importlib.import_module("distributed")
        distributed.Event(f"{self.name}-{word}", client=self._client).set()


class DaskExecutor:
    """Recordings as tasks of a dask client; `queue` gives those that are completed."""

    def __init__(self, client: Any, queue: Any, report: Report, words: _Words, sizes: Sizes) -> None:
        self._client, self._queue, self._report, self._words = client, queue, report, words
        self._sizes = sizes
        self._running: dict[Future, tuple[Job, int]] = {}
        self._collateral: dict[str, int] = {}  # how often a recording waited on a worker that died

    @property
    def is_busy(self) -> bool:
        return bool(self._running)

    @property
    def resources(self) -> Resources:
        """Recordings at once, on the workers that there are now; of each the threads and memory that the least has."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        shares = [_share(one["nthreads"], one.get("memory_limit")) for one in workers]
        slots = sum(one["nthreads"] for one in workers)
        return Resources(slots, self._sizes.threads or 1, self._sizes.memory or min(shares, default=memory_budget()))

    def submit(self, job: Job, attempt: int) -> None:
        sized_job = replace(job, threads=self._sizes.threads, memory_budget=self._sizes.memory)
        future = self._client.submit(_run_on_worker, sized_job, self._words.name, pure=False)
        self._running[future] = (job, attempt)
        self._queue.add(future)

    def collect(self) -> list[FinishedAttempt]:
        ended = []
        for future in self._completed():
            if future not in self._running:
                continue  # cancelled
            job, attempt = self._running.pop(future)
            if _was_bystander(job, future) and self._collateral.get(job.dataset_id, 0) < _MAX_COLLATERAL_RETRIES:
                self._collateral[job.dataset_id] = self._collateral.get(job.dataset_id, 0) + 1
                self._report(job.dataset_id, "its dask worker died before or after it ran; asking again")
                self.submit(job, attempt)
                continue
            # Of a worker that died dask itself has tried the recording again.
            ended.append(
                FinishedAttempt(job, attempt, self._outcome(job, future), is_final=future.status != "finished")
            )
        return ended

    def drop_waiting(self) -> None:
        """dask does not tell what waits from what runs: each recording looks for itself, first of all."""
        self._words.say(_NO_MORE)

    def stop(self) -> None:
        self._words.say(_NO_MORE)
        self._words.say(_STOP)

    def cancel(self) -> None:
        """Ask for nothing any more."""
        self._client.cancel([future for future in self._running if not future.done()])
        self._running = {}

    def _completed(self) -> list[Future]:
        completed = list(self._queue.next_batch(block=False))
        if not completed:
            time.sleep(_POLL_S)
            completed = list(self._queue.next_batch(block=False))
        return completed

    def _outcome(self, job: Job, future: Future) -> JobOutcome:
        if future.status == "finished":
            outcome: JobOutcome = future.result()
            return outcome
        if future.status == "cancelled":
            reason = f"the dask scheduler at {self._address()} is gone, or somebody cancelled the recording there"
        else:
            reason = _reason(future.exception())
        return JobOutcome(job.dataset_id, Status.FAILED, reason, str(job.output_path), str(job.log_path))

    def _address(self) -> str:
        scheduler = getattr(self._client, "scheduler", None)
        return str(getattr(scheduler, "address", "an unknown address"))


# ---------------------------------------------------------------- on the workers

_STOP, _NO_MORE = "stop", "no-more"


class _Told:
    """True where the batch has said a word; also where nobody can be asked any more: then the batch is gone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def is_set(self) -> bool:
        distributed: Any = importlib.import_module("distributed")
        try:
            return bool(distributed.Event(self._name).is_set())
        except Exception:  # noqa: BLE001 - dask raises many kinds where the scheduler is gone
            return True


def _run_on_worker(job: Job, words: str) -> JobOutcome:
    """Run one recording on a dask worker, within what the worker has for it."""
    distributed: Any = importlib.import_module("distributed")
    if _Told(f"{words}-{_NO_MORE}").is_set():
        return not_started(job)
    worker = distributed.get_worker()
    slots = worker.state.nthreads
    limit = getattr(getattr(worker, "memory_manager", None), "memory_limit", None)
    sized_job = replace(job, threads=job.threads or 1, memory_budget=job.memory_budget or _share(slots, limit))
    if slots == 1:
        forget_peak_memory()
    outcome = sized_job.run(_Told(f"{words}-{_STOP}"), _unheard)
    if slots > 1:  # the process worked on others as well
        outcome.peak_memory_bytes = None
    return outcome


def _unheard(dataset_id: str, activity: str) -> None:
    """Workers of a cluster do not tell what they are doing."""


def _share(slots: int, limit: int | None) -> int:
    """Bytes of arrays of one recording on a worker that works on so many at once."""
    if not limit:
        return max(1, memory_budget() // slots)
    return max(1, int(max(_WORKER_SHARE * limit - _PYTHON_BYTES, limit / 4)) // slots)


# ---------------------------------------------------------------- on the scheduler


def _allow_failures(count: int, dask_scheduler: Any = None) -> None:
    """Set how many workers a recording may kill before it counts as failed, for all recordings of the scheduler."""
    if not hasattr(dask_scheduler, "hdmea_batches"):
        dask_scheduler.hdmea_batches, dask_scheduler.hdmea_before = 0, dask_scheduler.allowed_failures
    dask_scheduler.hdmea_batches += 1
    dask_scheduler.allowed_failures = count


def _allow_as_before(dask_scheduler: Any = None) -> None:
    """The last batch puts back what was there before the first."""
    dask_scheduler.hdmea_batches -= 1
    if dask_scheduler.hdmea_batches == 0:
        dask_scheduler.allowed_failures = dask_scheduler.hdmea_before
        del dask_scheduler.hdmea_batches, dask_scheduler.hdmea_before


# ---------------------------------------------------------------- what became of a recording


def _was_bystander(job: Job, future: Future) -> bool:
    """True where a worker died that had the recording in its queue, or its result, but was not at work on it.

    dask blames every recording that the worker still had to answer for; the one at work left its lock behind.
    """
    return future.status == "error" and _is_killed(future.exception()) and not job.lock_path.exists()


def _is_killed(error: BaseException) -> bool:
    return type(error).__name__ == "KilledWorker"


def _reason(error: BaseException) -> str:
    if _is_killed(error):
        return "the dask worker died: killed, or out of memory"
    return f"{type(error).__name__}: {error}"
