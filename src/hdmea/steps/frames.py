"""Frames, samples and seconds of a recording: which frame was shown when, how fast it was sampled, where it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hdmea.kernels.rates import frames_at
from hdmea.utils.exceptions import MissingInputError

if TYPE_CHECKING:
    from hdmea.session.session import PipelineSession


def convert_frame_to_sample_index(frame: Any, frame_timestamps: npt.ArrayLike) -> Any:
    """The sample at which a frame began, clipped to the first and last frame.

    Parameters
    ----------
    frame
        Number of a frame from 0, or integers of any shape (…).
    frame_timestamps
        (frames,) integers, ascending: the sample at which each frame began.

    Returns
    -------
    int or ndarray
        An int for one frame; else int64 samples of the shape of `frame`.

    Raises
    ------
    ValueError
        `frame_timestamps` does not have one axis, or is empty.

    Examples
    --------
    >>> from hdmea.io import convert_frame_to_sample_index
    >>> convert_frame_to_sample_index([0, 1, 9], [7, 17, 27])
    array([ 7, 17, 27])
    """
    timestamps = _timestamps(frame_timestamps)
    frames = np.clip(np.asarray(frame, dtype=np.int64), 0, len(timestamps) - 1)
    samples = timestamps[frames]
    return int(samples) if np.ndim(frame) == 0 else samples


def convert_sample_index_to_frame(sample_index: Any, frame_timestamps: npt.ArrayLike) -> Any:
    """The last frame that began at or before a sample, clipped to the first and last frame.

    Parameters
    ----------
    sample_index
        A sample, or integers of any shape (…).
    frame_timestamps
        (frames,) integers, ascending: the sample at which each frame began.

    Returns
    -------
    int or ndarray
        An int for one sample; else int64 frames of the shape of `sample_index`.

    Raises
    ------
    ValueError
        `frame_timestamps` does not have one axis, or is empty.

    Examples
    --------
    >>> from hdmea.io import convert_sample_index_to_frame
    >>> convert_sample_index_to_frame([0, 17, 26, 90], [7, 17, 27])
    array([0, 1, 1, 2])
    """
    timestamps = _timestamps(frame_timestamps)
    samples = np.asarray(sample_index)
    frames = frames_at(np.ravel(samples).astype(np.int64, copy=False), timestamps)
    return int(frames[0]) if samples.ndim == 0 else frames.reshape(samples.shape)


def _timestamps(frame_timestamps: npt.ArrayLike) -> npt.NDArray[np.int64]:
    timestamps = np.asarray(frame_timestamps).astype(np.int64, copy=False)
    if timestamps.ndim != 1 or timestamps.size == 0:
        raise ValueError("frame_timestamps must be one axis of at least one frame")
    return timestamps


def frame_timestamps_of(session: PipelineSession, step: str) -> npt.NDArray[np.int64]:
    """A session's frame pulses. Raises `MissingInputError` where it has none."""
    timestamps = session.metadata.get("frame_timestamps")
    if timestamps is None or len(timestamps) == 0:
        message = (
            f"{step} needs metadata/frame_timestamps: run load_recording first, with the .cmcr file whose "
            "channel 2 holds the frame pulses"
        )
        raise MissingInputError(message, step, "frame_timestamps")
    return _timestamps(timestamps)


def acquisition_rate_of(recording: PipelineSession, step: str) -> float:
    """Samples a second. Raises `MissingInputError` where no recording was loaded."""
    rate = recording.metadata.get("acquisition_rate")
    if rate is None:
        raise MissingInputError(f"{step} needs metadata/acquisition_rate: run load_recording first", step, "recording")
    return float(rate)


def recording_end_sample(recording: PipelineSession) -> int:
    """The recording's end, in samples; 0 where nothing tells it."""
    duration = recording.duration_s()
    return round(duration * acquisition_rate_of(recording, "recording")) if np.isfinite(duration) else 0
