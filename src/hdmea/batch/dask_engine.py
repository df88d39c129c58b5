"""The dask engine: recordings on the workers of a dask.distributed cluster."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from hdmea.batch.job import Job, Outcome, Report, Status, run_job
from hdmea.batch.loop import Ended
from hdmea.utils.exceptions import ConfigurationError

_MOMENT_S = 0.1
_MAX_COLLATERAL_RETRIES = (
    3  # times that a recording may be found waiting on a worker that died, before it counts as a failure
)


class Future(Protocol):
    """What is used of a future of dask."""

    status: str

    def done(self) -> bool: ...
    def result(self) -> Any: ...
    def exception(self) -> BaseException: ...


@contextmanager
def dask_executor(
    report: Report, retries: int, *, scheduler: str | None, scheduler_file: str | None
) -> Iterator[DaskExecutor]:
    """An executor on a cluster, connected for the block.

    scheduler: its address; scheduler_file: the file that it wrote. Workers share the file system with this process. A
    worker that dies is one failed recording, tried again on another worker `retries` times; what waited on that worker
    is asked for again. Raises `ConfigurationError` without dask, `OSError` when the scheduler does not answer.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigurationError('the dask engine needs: pip install "h5burst[hpc]"') from error
    with (
        distributed.Client(address=scheduler, scheduler_file=scheduler_file, set_as_default=False) as client,
        client.as_current(),
    ):
        client.run_on_scheduler(_allow_failures, retries)
        executor = DaskExecutor(client, distributed.as_completed([]), report)
        try:
            yield executor
        finally:
            executor.drop_waiting()


class DaskExecutor:
    """Recordings as tasks of a dask client; `queue` gives those that are completed."""

    def __init__(self, client: Any, queue: Any, report: Report) -> None:
        self._client, self._queue, self._report = client, queue, report
        self._running: dict[Future, tuple[Job, int]] = {}
        self._collateral: dict[str, int] = {}  # how often a recording waited on a worker that died

    @property
    def is_busy(self) -> bool:
        return bool(self._running)

    def submit(self, job: Job, attempt: int) -> None:
        future = self._client.submit(run_job, job, pure=False)
        self._running[future] = (job, attempt)
        self._queue.add(future)

    def collect(self) -> list[Ended]:
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
            ended.append(Ended(job, attempt, _outcome(job, future), is_final=future.status != "finished"))
        return ended

    def drop_waiting(self) -> None:
        """Cancel all that has not ended: dask does not tell what waits from what runs."""
        self._client.cancel([future for future in self._running if not future.done()])
        self._running = {future: of for future, of in self._running.items() if future.done()}

    def stop(self) -> None:
        self.drop_waiting()

    def _completed(self) -> list[Future]:
        completed = list(self._queue.next_batch(block=False))
        if not completed:
            time.sleep(_MOMENT_S)
            completed = list(self._queue.next_batch(block=False))
        return completed


def _allow_failures(count: int, dask_scheduler: Any = None) -> None:
    """How many workers a recording may kill before it counts as failed."""
    dask_scheduler.allowed_failures = count


def _outcome(job: Job, future: Future) -> Outcome:
    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    reason = "cancelled" if future.status == "cancelled" else _reason(future.exception())
    return Outcome(job.dataset_id, Status.FAILED, reason, str(job.output_path), str(job.log_path))


def _was_bystander(job: Job, future: Future) -> bool:
    """Whether a worker died that had the recording in its queue, or its result, but was not at work on it.

    dask blames every recording that the worker still had to answer for; the one at work left its lock behind.
    """
    return future.status == "error" and _is_killed(future.exception()) and not job.lock_path.exists()


def _is_killed(error: BaseException) -> bool:
    return type(error).__name__ == "KilledWorker"


def _reason(error: BaseException) -> str:
    if _is_killed(error):
        return "the dask worker died: killed, or out of memory"
    return f"{type(error).__name__}: {error}"
