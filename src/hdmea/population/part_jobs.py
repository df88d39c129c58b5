"""Parts of a population in the engines of a batch: processes of this machine, dask, shares of an array job."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from h5burst import thread_limit
from hdmea.batch.job import Job, JobOutcome, Status, Stop, peak_memory_bytes
from hdmea.batch.lock import RecordingLockedError, holding
from hdmea.batch.run import Engine, JobsRun, run_jobs
from hdmea.population import parts


@dataclass(frozen=True)
class PartJob(Job):
    """The part of one recording; `output_dir` is the directory of parts."""

    PRELOAD: ClassVar[str] = "hdmea.population.preload"
    JOBS_OF_A_WORKER: ClassVar[int] = 32  # memory that was touched once is given by the kernel no second time

    source: Path = Path()

    def run(self, stop: Stop, report: Callable[[str, str], None]) -> JobOutcome:
        """Make the part; what is wrong with the recording is in the outcome."""
        outcome = JobOutcome(self.dataset_id, Status.FAILED, output_path=str(self.output_path))
        started = time.perf_counter()
        if stop.is_set():
            outcome.status = Status.NOT_STARTED
            return outcome
        report(self.dataset_id, "read")
        try:
            with holding(self.lock_path), thread_limit(self.threads):
                parts.make_part(self.source, self.output_dir)
            outcome.status = Status.DONE
        except RecordingLockedError as error:
            outcome.status, outcome.reason = Status.LOCKED, str(error)
        except Exception as error:  # noqa: BLE001 - one recording must not stop the rest; the outcome says why
            outcome.reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        outcome.seconds, outcome.peak_memory_bytes = time.perf_counter() - started, peak_memory_bytes()
        return outcome


def read_parts(recordings: Sequence[Path], directory: Path, engine: Engine) -> JobsRun:
    """Make the parts of recordings that are not there, or are of files that were changed since; all are outcomes."""
    planned = [
        PartJob(
            dataset_id=path.stem,
            steps=(),
            output_dir=directory,
            input_bytes=path.stat().st_size,
            source=path.absolute(),
        )
        for path in recordings
    ]
    to_do = [job for job in planned if not parts.is_current(job.source, directory)]
    ran = run_jobs(to_do, engine) if to_do else JobsRun([], None, None)
    with contextlib.suppress(OSError):  # it stays where anything is in it
        directory.rmdir()
    outcomes = {outcome.dataset_id: outcome for outcome in ran.outcomes}
    done = [outcomes.get(job.dataset_id) or JobOutcome(job.dataset_id, Status.DONE) for job in planned]
    for job, outcome in zip(planned, done, strict=True):  # somebody else may have made it meanwhile
        if outcome.status is Status.LOCKED and parts.is_current(job.source, directory):
            outcome.status = Status.DONE
    return replace(ran, outcomes=done)
