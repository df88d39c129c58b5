"""One recording of a batch: locked, resumed, run step by step, saved, summed up."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Protocol

import h5burst
from h5burst import Group, load_json, thread_limit, verify
from hdmea.batch import identity
from hdmea.batch.figures import FIGURES, key_figures, stored_figures
from hdmea.batch.job_log import logging_to
from hdmea.batch.lock import RecordingLockedError, holding
from hdmea.batch.recipe import recipe_hash
from hdmea.session.session import PipelineSession, create_session
from hdmea.steps.step_call import StepCall
from hdmea.utils.exceptions import DataLoadError
from hdmea.utils.file_identity import Identity
from hdmea.utils.names import recording_path
from hdmea.utils.user_modules import import_modules

logger = logging.getLogger(__name__)

BATCH_GROUP = "batch"  # of the output: its attributes say by which recipe the file came to be
HASH, RECIPE, INPUTS = "params_hash", "recipe", "inputs"
BEFORE_FIRST_STEP = "stopped before its first step"
ALREADY_COMPLETE = "already complete"
MAX_NAME_BYTES = 255  # of one name, in the file systems that matter

Report = Callable[[str, str], None]  # dataset_id, what it is doing now


class Status(str, Enum):
    """Final status of a recording."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LOCKED = "locked"
    NOT_STARTED = "not started"


@dataclass(frozen=True)
class JobOptions:
    """Options of a run of recordings."""

    force: bool = False
    checkpoint_steps: bool = False
    compression: str | None = None
    by_mark: bool = False  # skip a file of the same recipe without reading its data
    imports: tuple[str, ...] = ()  # modules of the user's own, that register features


@dataclass(frozen=True, kw_only=True)
class Job(JobOptions):
    """Everything that a worker needs to know to run one recording."""

    PRELOAD: ClassVar[str] = "hdmea.batch.preload"  # what workers of this machine are forked with
    JOBS_OF_A_WORKER: ClassVar[int] = 1  # after which it ends, with all memory that it has

    dataset_id: str
    steps: tuple[StepCall, ...]
    output_dir: Path
    threads: int | None = None  # of those of this process; None: what its environment says
    memory_budget: int | None = None
    input_bytes: int = 0  # of its files; the largest recordings are started first

    @property
    def output_path(self) -> Path:
        return recording_path(self.output_dir, self.dataset_id)

    @property
    def checkpoint_path(self) -> Path:
        return self._beside(".h5burst-checkpoint")

    @property
    def lock_path(self) -> Path:
        return self._beside(".lock")

    @property
    def log_path(self) -> Path:
        return self.output_dir / "logs" / _short(self.output_path.stem, ".log")

    def run(self, stop: Stop, report: Report) -> JobOutcome:
        """Run the whole job, in a worker. Never raises for what is wrong with the recording."""
        return run_job(self, stop, report)

    def _beside(self, suffix: str) -> Path:
        """A file of our own for this recording: no dataset ID makes this name, because an output ends in `.h5`."""
        return self.output_path.with_name(_short(f".{self.output_path.stem}", suffix))

    @property
    def params_hash(self) -> str:
        return recipe_hash(self.steps)

    def inputs(self) -> dict[str, Identity | None]:
        """Return all that the result depends on beside the recipe, as it is now."""
        return identity.identities(self.steps, self.imports)


def _short(name: str, suffix: str) -> str:
    """`name` with a suffix, or its hash where that would be too long for a file system."""
    if len(os.fsencode(name + suffix)) <= MAX_NAME_BYTES:
        return name + suffix
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}{suffix}"


class Stop(Protocol):
    """Sign that a batch is to end, as `threading.Event` is one."""

    def is_set(self) -> bool: ...


@dataclass
class JobOutcome:
    """Final status of one recording: status, why, where, and what it took."""

    dataset_id: str
    status: Status
    reason: str = ""
    output_path: str = ""
    log_path: str = ""
    seconds: float = 0.0
    step_seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    attempts: int = 1
    figures: dict[str, Any] = field(default_factory=dict)  # see `hdmea.batch.figures`

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "status": self.status.value}


def run_job(job: Job, stop: Stop | None = None, report: Report = lambda dataset_id, activity: None) -> JobOutcome:
    """Run one recording to its file. Never raises for what is wrong with the recording: the outcome says it.

    stop: when set, the step that is running is finished, the session checkpointed, and the outcome is INTERRUPTED.
    """
    outcome = JobOutcome(job.dataset_id, Status.FAILED, output_path=str(job.output_path), log_path=str(job.log_path))
    started = time.perf_counter()
    try:
        with holding(job.lock_path), logging_to(job.log_path), thread_limit(job.threads):
            _run_locked(job, outcome, stop or threading.Event(), report)
    except RecordingLockedError as error:
        outcome.status, outcome.reason = Status.LOCKED, str(error)
    except OSError as error:  # the lock or the log could not be written
        outcome.reason = f"{type(error).__name__}: {error}"
    outcome.seconds = time.perf_counter() - started
    outcome.peak_memory_bytes = peak_memory_bytes()
    return outcome


def _run_locked(job: Job, outcome: JobOutcome, stop: Stop, report: Report) -> None:
    try:
        if is_finished(job):
            outcome.status, outcome.reason = Status.SKIPPED, _complete(job)
            outcome.figures = _figures_of(job.output_path)
            return
        import_modules(job.imports)
        session = _start(job, outcome)
        inputs = load_json(session.extra_nodes[BATCH_GROUP].attrs[INPUTS])
        for step in job.steps:
            if step.name in session.completed_steps:
                logger.info("%s: %s was done before", job.dataset_id, step.name)
                continue
            if stop.is_set():
                _interrupt(job, session, outcome)
                return
            session = _run_step(step, session, outcome, report)
            if job.checkpoint_steps:
                _checkpoint(job, session)
        if changed := identity.differences(inputs, job.inputs()):
            raise DataLoadError(f"an input was changed meanwhile, so nothing is saved: {'; '.join(changed)}")
        report(job.dataset_id, "save")
        started = time.perf_counter()
        outcome.figures = key_figures(session)
        session.extra_nodes[BATCH_GROUP].attrs[FIGURES] = json.dumps(outcome.figures)
        session.save(job.output_path, overwrite=True, compression=job.compression)
        outcome.step_seconds["save"] = time.perf_counter() - started
        job.checkpoint_path.unlink(missing_ok=True)
        outcome.status = Status.DONE
        logger.info("%s: saved %s", job.dataset_id, job.output_path)
    except Exception as error:  # noqa: BLE001 - one recording must not stop the rest; the outcome and the log say why
        logger.error("%s failed\n%s", job.dataset_id, traceback.format_exc())
        outcome.status, outcome.reason = Status.FAILED, f"{type(error).__name__}: {' '.join(str(error).split())}"


def _run_step(step: StepCall, session: PipelineSession, outcome: JobOutcome, report: Report) -> PipelineSession:
    report(session.dataset_id, step.name)
    logger.info("%s: %s %s", session.dataset_id, step.name, json.dumps(dict(step.arguments), default=str))
    started = time.perf_counter()
    step.run(session=session)
    outcome.step_seconds[step.name] = time.perf_counter() - started
    return session


def skipped(job: Job) -> JobOutcome | None:
    """The outcome of a recording that needs no work; None where it needs some."""
    started = time.perf_counter()
    if not is_finished(job):
        return None
    outcome = JobOutcome(job.dataset_id, Status.SKIPPED, _complete(job), str(job.output_path), str(job.log_path))
    outcome.figures = _figures_of(job.output_path)
    outcome.seconds = time.perf_counter() - started
    return outcome


def is_marked(job: Job) -> bool:
    """True where the output is there, and says that the same recipe made it of the same inputs; nothing is asked of its
    data.
    """
    return not job.force and _changes(job, job.output_path) == []


def is_finished(job: Job) -> bool:
    """True where the output is there, made by the same recipe of the same inputs, and (unless marks do) every byte
    of it checks.
    """
    if not is_marked(job):
        return False
    problems = [] if job.by_mark else verify(job.output_path)
    for problem in problems:
        logger.warning("%s: %s is damaged and will be made anew: %s", job.dataset_id, job.output_path, problem)
    return not problems


def _changes(job: Job, path: Path) -> list[str] | None:
    """Differences between the inputs of an output or checkpoint and those of today; None for a file that is not
    there, cannot be read, or is of another recipe.
    """
    attrs = _batch_attributes(path) if path.exists() else None
    if attrs is None or str(attrs.get(HASH)) != job.params_hash:
        return None
    stored = _stored_inputs(attrs)
    return identity.newer_files(job.steps, path) if stored is None else identity.differences(stored, job.inputs())


def _stored_inputs(attrs: dict[str, Any]) -> dict[str, Any] | None:
    """Inputs that a file was made of; None where it does not say: those of earlier versions do not."""
    try:
        return dict(load_json(attrs[INPUTS], dict))
    except (KeyError, ValueError, TypeError):
        return None


def _other_versions(job: Job, path: Path) -> str:
    """The versions that made a file, where they are not those of today."""
    stored = _stored_inputs(_batch_attributes(path) or {}) or {}
    versions = stored.get(identity.VERSIONS)
    if not isinstance(versions, dict) or versions == job.inputs()[identity.VERSIONS]:
        return ""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _complete(job: Job) -> str:
    versions = _other_versions(job, job.output_path)
    return f"{ALREADY_COMPLETE}, by {versions}: --force does it again" if versions else ALREADY_COMPLETE


def _figures_of(path: Path) -> dict[str, Any]:
    return stored_figures(_batch_attributes(path) or {})


def _batch_attributes(path: Path) -> dict[str, Any] | None:
    try:
        with h5burst.open(path) as file:  # one link of it; a tree would look at every unit
            batch = file.get(BATCH_GROUP)
            return None if batch is None else dict(batch.attrs)
    except OSError as error:
        logger.warning("cannot read %s: %s", path, error)
        return None


def _start(job: Job, outcome: JobOutcome) -> PipelineSession:
    """The checkpointed session where there is one of the same recipe, inputs and versions, else a new one."""
    if not job.force and _may_go_on(job, outcome):
        try:
            session = PipelineSession.load(job.checkpoint_path, memory_budget=job.memory_budget)
        except (OSError, ValueError) as error:
            logger.warning("%s: starting anew, the checkpoint cannot be read: %s", job.dataset_id, error)
        else:
            logger.info("%s: goes on after %s", job.dataset_id, ", ".join(sorted(session.completed_steps)))
            return session
    session = create_session(job.dataset_id, output_dir=job.output_dir, memory_budget=job.memory_budget)
    recipe = json.dumps([[step.name, dict(step.arguments)] for step in job.steps], default=str)
    attrs = {HASH: job.params_hash, RECIPE: recipe, INPUTS: json.dumps(job.inputs())}
    session.extra_nodes[BATCH_GROUP] = Group(attrs=attrs)
    return session


def _may_go_on(job: Job, outcome: JobOutcome) -> bool:
    """True where there is a checkpoint of the same recipe, inputs and versions; says why a recording is done again."""
    changes = _changes(job, job.checkpoint_path)
    is_same = changes == [] and not (versions := _other_versions(job, job.checkpoint_path))
    if changes == [] and not is_same:
        changes = [f"the checkpoint was made by {versions}"]
    if why := changes or _changes(job, job.output_path):
        outcome.reason = f"done again: {'; '.join(why)}"
        logger.warning("%s: %s", job.dataset_id, outcome.reason)
    return is_same


def _interrupt(job: Job, session: PipelineSession, outcome: JobOutcome) -> None:
    outcome.status, outcome.reason = Status.INTERRUPTED, BEFORE_FIRST_STEP
    if session.completed_steps:
        _checkpoint(job, session)
        outcome.reason = f"checkpointed after {', '.join(sorted(session.completed_steps))}"
    logger.info("%s: %s", job.dataset_id, outcome.reason)


def _checkpoint(job: Job, session: PipelineSession) -> None:
    session.checkpoint(job.checkpoint_path, checkpoint_name=f"batch-{len(session.completed_steps)}")


def forget_peak_memory() -> None:
    """Let `peak_memory_bytes` count from now on, where the system can (Linux: `clear_refs` in proc(5))."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_bytes() -> int | None:
    """The most memory that this process has held at once; None where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) << 10
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
