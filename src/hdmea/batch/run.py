"""A batch from its manifest to its summary."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from h5burst import codecs, console, durable, parse_bytes
from hdmea.batch import cluster
from hdmea.batch.dask_engine import Cluster, Sizes, dask_executor
from hdmea.batch.figures import write_table
from hdmea.batch.gather import SUMMARIES, check_summary, gather_figures
from hdmea.batch.job import MAX_NAME_BYTES, Job, JobOptions, JobOutcome, Report, Status, skipped
from hdmea.batch.local import LocalExecutor, ending_signals
from hdmea.batch.loop import Executor, Limits, run_all
from hdmea.batch.manifest import Recording, read_manifest, reject_directory
from hdmea.batch.progress import BatchProgress
from hdmea.batch.recipe import read_parameters, steps_for
from hdmea.batch.resources import Resources, plan_resources
from hdmea.utils.clock import utc_now
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.names import recording_path
from hdmea.utils.problems import Problems
from hdmea.utils.user_modules import import_modules, resolved_modules

if TYPE_CHECKING:
    from hdmea.batch.live import LivePage  # imported with what draws pages where it is asked for, as are reports

ENGINES = ("local", "dask")


@dataclass
class BatchResult:
    """Outcomes of all recordings of a batch.

    Attributes
    ----------
    outcomes
        Of each recording (`dataset_id`, `status`, `reason`, `output_path`, `seconds` and more), in the manifest's
        order.
    resources
        Processes, threads and memory that it ran with.
    summary_path
        The JSON file that says the same; a later batch into the directory replaces it.
    summary
        What this batch wrote there.
    stopped_by
        Number of the signal that ended the batch; None: it came to its end.
    index_path
        Of the pages' index; None without `report`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hdmea.batch.manifest import Recording
    >>> from hdmea.pipeline import run_batch
    >>> recordings = [Recording("day1", cmcr=Path("recording.cmcr"), cmtr=Path("recording.cmtr"))]
    >>> result = run_batch(recordings, "results", steps=["load_recording"], progress=False)
    >>> result.exit_code, result.outcomes[0].status.value, result.summary_path.name
    (0, 'done', 'batch_summary.json')
    """

    outcomes: list[JobOutcome]
    resources: Resources
    summary_path: Path
    stopped_by: int | None = None
    index_path: Path | None = None
    summary: dict[str, Any] = field(default_factory=dict)

    def count(self, status: Status) -> int:
        """Number of recordings that ended so."""
        return sum(outcome.status is status for outcome in self.outcomes)

    @property
    def figures_path(self) -> Path:
        """The table of key figures, a recording a row (`hdmea.batch.figures`)."""
        return self.summary_path.with_name(self.summary_path.stem.replace("summary", "figures") + ".csv")

    @property
    def exit_code(self) -> int:
        """The command's: 0 where every recording is done, now or before; 128 and the signal that ended it; else 1
        (a recording failed, was not started, or is another batch's and not done yet).
        """
        if self.stopped_by is not None:
            return 128 + self.stopped_by
        return int(self.count(Status.DONE) + self.count(Status.SKIPPED) < len(self.outcomes))


def run_batch(
    manifest: str | Path | Sequence[Recording],
    output_dir: str | Path,
    *,
    flow: str | Path | None = None,
    steps: Sequence[str] | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    engine: str = "local",
    scheduler: str | None = None,
    scheduler_file: str | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    memory_budget: int | str | None = None,
    array_task: int | None = None,
    array_count: int | None = None,
    force: bool = False,
    checkpoint_steps: bool = False,
    compression: str | None = None,
    retries: int = 0,
    max_failures: int | None = None,
    progress: bool | None = None,
    by_mark: bool = False,
    imports: Sequence[str] = (),
    report: bool = False,
    live: bool = False,
) -> BatchResult:
    r"""Run many recordings to one HDF5 file each, `output_dir/{dataset_id}.h5`.

    A file that is complete, verified and made by the same recipe is skipped; a checkpointed recording goes on from
    there. SIGINT, SIGTERM and SIGHUP checkpoint what is running and end the batch. A recording that fails does not
    raise but is an outcome.

    Parameters
    ----------
    manifest
        A path for `hdmea.batch.manifest.read_manifest`, or the recordings.
    output_dir
        Directory, made if need be.
    flow
        JSON file of steps and parameters.
    steps, parameters
        Names of steps, and step name to arguments; they come before `flow`, a recording's own options before both.
    engine
        "local" (a process a recording) or "dask".
    scheduler, scheduler_file
        Where the scheduler of dask is; default a local one.
    jobs, threads, memory_budget
        Recordings at once, threads of each, bytes (or text such as "4GiB") of all; default what fits this machine.
    array_task, array_count
        This task's share of the recordings; default from the environment of the cluster's scheduler.
    force
        Run again what is done.
    checkpoint_steps
        Write a checkpoint after each step.
    compression
        Of the files, as of `PipelineSession.save`.
    retries
        More tries of a recording that fails.
    max_failures
        How many recordings may fail before no more are started; None: any number.
    progress
        Whether to show it; None: in a terminal.
    by_mark
        Take a finished file's mark and hash for enough, without reading its data.
    imports
        Modules, by name or as `.py` files, that every worker imports first: those that register features of your own.
    report
        At the end, a page about each recording, and `index.html` with all that the output directory holds; not after a
        stop.
    live
        While it runs, `index.html` of the output directory shows which recording is at which step, what failed, and the
        figures so far; browsers load it anew by themselves. Tasks of an array show the recordings of all of them.

    Returns
    -------
    BatchResult
        What became of every recording.

    Raises
    ------
    ConfigurationError, FileNotFoundError
        What is wrong with the request, all of it in one message, before the first recording is started.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hdmea.pipeline import run_batch
    >>> rows = ["cmcr,cmtr,dataset_id", "recording.cmcr,recording.cmtr,day1"]
    >>> _ = Path("manifest.csv").write_text("\n".join(rows))
    >>> result = run_batch("manifest.csv", "results", steps=["load_recording"], progress=False)
    >>> [(outcome.dataset_id, outcome.status.value) for outcome in result.outcomes]
    [('day1', 'done')]
    """
    output_dir = Path(output_dir).absolute()  # workers may be in another directory
    problems, all_jobs, share = Problems(), [], None
    with problems.noting():
        if engine not in ENGINES:
            raise ConfigurationError(f"unknown engine {engine!r}; there are {', '.join(ENGINES)}")
    with problems.noting():
        plan_resources(1, jobs, threads, memory_budget)
    with problems.noting():
        share = cluster.array_share(array_task, array_count)
        if share is not None and isinstance(manifest, (str, Path)):
            reject_directory(Path(manifest))
    with problems.noting():
        options = JobOptions(force, checkpoint_steps, compression, by_mark, tuple(imports))
        all_jobs = plan(manifest, output_dir, flow=flow, steps=steps, parameters=parameters, options=options)
    for summary in sorted(output_dir.glob(SUMMARIES)) if share is not None or report else ():
        with problems.noting():
            check_summary(summary)
    if report or live:
        with problems.noting():
            if any(job.output_path.stem == "index" for job in all_jobs):
                raise ConfigurationError("a recording cannot be called index with --report: index.html is that of all")
        own_pages = [job.output_path.with_suffix(".html") for job in all_jobs] if report else []
        from hdmea.report.page import may_write

        for page in (output_dir / "index.html", *own_pages):
            with problems.noting():
                may_write(page, overwrite=False)
    problems.raise_any()
    mine = all_jobs if share is None else cluster.share_of(all_jobs, *share)
    resources = plan_resources(len(mine), jobs, threads, memory_budget)
    output_dir.mkdir(parents=True, exist_ok=True)
    durable.clear(output_dir)  # of recordings that nobody will ask for again, too
    how = Engine(engine, scheduler, scheduler_file, jobs, threads, memory_budget, retries, max_failures, progress)
    task = None if share is None else (share[0], [job.dataset_id for job in all_jobs])
    ran = run_jobs(mine, how, of=len(all_jobs), live=partial(_live_page, output_dir, task=task) if live else None)
    outcomes = [_settled(job, outcome) for job, outcome in zip(mine, ran.outcomes, strict=True)]
    name = "batch_summary.json" if share is None else f"batch_summary_{share[0]:04d}.json"
    result = BatchResult(outcomes, ran.resources or resources, output_dir / name, ran.stopped_by)
    _write_summary(result, engine)
    if share is not None:
        gather_figures(output_dir, [job.dataset_id for job in all_jobs], result.summary_path)
    if report and ran.stopped_by is None:
        from hdmea.report.directory import write_index

        result.index_path = write_index(output_dir, pages=[job.dataset_id for job in mine])
    return result


def _live_page(*arguments: Any, **options: Any) -> LivePage:
    from hdmea.batch.live import LivePage

    return LivePage(*arguments, **options)


@dataclass(frozen=True)
class Engine:
    """Engine that runs jobs: the arguments of that name of `run_batch`."""

    name: str = "local"
    scheduler: str | None = None
    scheduler_file: str | None = None
    jobs: int | None = None
    threads: int | None = None
    memory_budget: int | str | None = None
    retries: int = 0
    max_failures: int | None = None
    progress: bool | None = None


@dataclass(frozen=True)
class JobsRun:
    """Outcomes of jobs, in their order; with what they ran; and the signal that ended them early."""

    outcomes: list[JobOutcome]
    resources: Resources | None
    stopped_by: int | None


def run_jobs(
    jobs: Sequence[Job], engine: Engine, *, of: int | None = None, live: Callable[..., LivePage] | None = None
) -> JobsRun:
    """Run jobs, which nobody else has to know; of: how many there are with those of other tasks;
    live: makes a page that shows how they go on, of their names and the progress.

    Raises `ConfigurationError` for an engine that there is not, and what `plan_resources` raises.
    """
    if engine.name not in ENGINES:
        raise ConfigurationError(f"unknown engine {engine.name!r}; there are {', '.join(ENGINES)}")
    resources = plan_resources(len(jobs), engine.jobs, engine.threads, engine.memory_budget)
    memory = None if engine.memory_budget is None else parse_bytes(engine.memory_budget)
    dask = None
    if engine.name == "dask":
        dask = Cluster(engine.scheduler, engine.scheduler_file, Sizes(engine.threads, memory))
        dask.wait_for_file()
    names = [job.dataset_id for job in jobs]
    with (
        console.lasting_streams(),
        _stopping() as stop,
        BatchProgress(len(jobs), show=engine.progress) as bars,
        contextlib.ExitStack() as stack,
    ):
        shown = bars if live is None else stack.enter_context(live(names, bars))
        executor = stack.enter_context(_executor(dask, jobs, resources, shown.report, engine.retries))
        resources = executor.resources
        bars.say(f"{len(jobs)} of {of or len(jobs)} recordings, {engine.name} engine: {resources}")
        limits = Limits(engine.retries, engine.max_failures)
        outcomes = run_all(jobs, executor, limits, stop.event, shown.report, shown.finished)
    return JobsRun(outcomes, resources, stop.signal)


def plan(
    manifest: str | Path | Sequence[Recording],
    output_dir: Path,
    *,
    flow: str | Path | None = None,
    steps: Sequence[str] | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    options: JobOptions | None = None,
) -> list[Job]:
    """The jobs of a batch, checked as far as can be without running them. Raises what is wrong, all at once."""
    problems, options = Problems(), options or JobOptions()
    with problems.noting():
        import_modules(options.imports)
    with problems.noting():
        codecs.storage_for(options.compression)
    with problems.noting():
        options = replace(options, imports=resolved_modules(options.imports))
        planned = _jobs(manifest, output_dir, (flow, steps, parameters), options, problems)
    problems.raise_any()
    return planned


def _jobs(
    manifest: str | Path | Sequence[Recording],
    output_dir: Path,
    recipe: tuple[str | Path | None, Sequence[str] | None, Mapping[str, Mapping[str, Any]] | None],
    options: JobOptions,
    problems: Problems,
) -> list[Job]:
    """The jobs; what is wrong with single recordings goes to `problems`."""
    flow, steps, parameters = recipe
    recordings = read_manifest(manifest) if isinstance(manifest, (str, Path)) else list(manifest)
    flow_steps, flow_parameters = read_parameters(flow) if flow is not None else (None, {})
    merged = {name: dict(values) for name, values in flow_parameters.items()}
    for name, arguments in (parameters or {}).items():
        merged.setdefault(name, {}).update(arguments)
    jobs = []
    for recording in recordings:
        with problems.noting():
            chosen = tuple(steps_for(recording, steps if steps is not None else flow_steps, merged))
            size = recording.input_bytes()
            _check_name(recording.dataset_id)
            absolute_dir = output_dir.absolute()
            jobs.append(
                Job(
                    dataset_id=recording.dataset_id,
                    steps=chosen,
                    output_dir=absolute_dir,
                    input_bytes=size,
                    **vars(options),
                )
            )
    return jobs


def _settled(job: Job, outcome: JobOutcome) -> JobOutcome:
    """The outcome; where another batch had the recording, what has become of it since."""
    return (skipped(job) or outcome) if outcome.status is Status.LOCKED else outcome


@contextmanager
def _executor(
    dask: Cluster | None, jobs: Sequence[Job], resources: Resources, report: Report, retries: int
) -> Iterator[Executor]:
    """Return what runs the recordings of a batch: the workers of a cluster of dask, or processes of this machine."""
    if dask is not None:
        with dask_executor(report, retries, dask) as executor:
            yield executor
    else:
        yield LocalExecutor(jobs, resources, report)


def _check_name(dataset_id: str) -> None:
    """Raise `ConfigurationError` for a dataset ID that makes no name of a file."""
    name = recording_path("", dataset_id).name
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise ConfigurationError(
            f"dataset_id {dataset_id[:40]!r}… makes a file name of more than {MAX_NAME_BYTES} bytes"
        )


@dataclass
class _Stop:
    event: threading.Event
    signal: int | None = None


@contextmanager
def _stopping() -> Iterator[_Stop]:
    """Turn SIGINT, SIGTERM and SIGHUP (unless it is ignored, as by nohup) into an event for the block.

    The second signal acts as it does without us; that of a command ends it at once, without waiting for its workers.
    """
    stop = _Stop(threading.Event())
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread gets signals
        return
    before = {number: signal.getsignal(number) for number in ending_signals()}

    def told(number: int, frame: Any) -> None:
        stop.signal = number
        stop.event.set()
        handler = before[signal.Signals(number)]
        signal.signal(number, signal.SIG_DFL if isinstance(handler, console.Ending) else handler)

    for number in before:
        signal.signal(number, told)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_summary(result: BatchResult, engine: str) -> None:
    result.summary = {
        "written_at": utc_now(),
        "engine": engine,
        "jobs": result.resources.jobs,
        "threads": result.resources.threads,
        "memory_budget": result.resources.memory_budget,
        "counts": {status.value: result.count(status) for status in Status},
        "exit_code": result.exit_code,
        "recordings": [outcome.as_json() for outcome in result.outcomes],
    }
    rows = [{"dataset_id": one.dataset_id, "status": one.status.value, **one.figures} for one in result.outcomes]
    write_table(result.figures_path, rows)
    with durable.replacing(result.summary_path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(result.summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
