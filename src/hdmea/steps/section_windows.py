"""Regular windows over a recording that has no stimulus."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hdmea.session.session import PipelineSession
from hdmea.steps.frames import acquisition_rate_of, recording_end_sample
from hdmea.steps.run_step import AlreadyDoneError, Outcome, Target, run_step
from hdmea.utils.exceptions import ConfigurationError

WINDOWS = "section_windows"  # metadata: the sections that are regular windows, and how they were made

Samples = npt.NDArray[np.uint64]


def add_section_windows(
    hdf5_path: Target = None,
    *,
    length_s: float,
    step_s: float | None = None,
    name: str = "window",
    force: bool = False,
    session: PipelineSession | None = None,
) -> bool | PipelineSession:
    """Regular windows over the whole recording, for recordings without a stimulus.

    Stores `stimulus/section_time/{name}` (windows, 2) uint64 samples: windows of `length_s` seconds every `step_s`
    seconds that are wholly within the recording. `section_spike_times` takes each as a trial.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    length_s
        Length of a window in seconds.
    step_s
        Seconds from the start of one window to that of the next; default `length_s`: end to end.
    name
        Of the section.
    force
        Replace windows of that name.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    bool or PipelineSession
        True, or `session`.

    Raises
    ------
    ConfigurationError
        A length or step that is not positive, or longer than the recording.
    MissingInputError
        No recording was loaded.
    FileExistsError
        Immediate mode, without `force`: there are windows of that name. With a session that is a warning.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession, add_section_windows
    >>> session = add_section_windows(length_s=10.0, session=PipelineSession.load("loaded.h5"))
    >>> session.stimulus["section_time"]["window"][:2]
    array([[    0, 10000], [10000, 20000]], dtype=uint64)
    """

    def step(recording: PipelineSession) -> Outcome[bool]:
        sections = recording.stimulus.get("section_time") or {}
        if name in sections and not force:
            raise AlreadyDoneError(f"add_section_windows was done already ({name})")
        windows = _windows(recording, length_s, length_s if step_s is None else step_s)
        recording.stimulus["section_time"] = {**sections, name: windows}
        window_options = {"length_s": float(length_s), "step_s": float(length_s if step_s is None else step_s)}
        recording.metadata[WINDOWS] = {**(recording.metadata.get(WINDOWS) or {}), name: window_options}
        return Outcome(True, [("stimulus", "section_time", name), ("metadata", WINDOWS)])

    return run_step("add_section_windows", step, hdf5_path, session)


def _windows(recording: PipelineSession, length_s: float, step_s: float) -> Samples:
    if not (0 < length_s < float("inf") and 0 < step_s < float("inf")):
        raise ConfigurationError(f"length_s and step_s must be positive, not {length_s} and {step_s}")
    rate = acquisition_rate_of(recording, "add_section_windows")
    length, end = round(length_s * rate), recording_end_sample(recording)
    if length < 1 or length > end:
        raise ConfigurationError(f"a window of {length_s} s does not fit into a recording of {end / rate:.3f} s")
    count = int((end - length) // (step_s * rate)) + 1
    starts = np.rint(np.arange(count) * (step_s * rate)).astype(np.uint64)
    windows = np.stack([starts, starts + np.uint64(length)], axis=1)
    return windows[windows[:, 1] <= end]
