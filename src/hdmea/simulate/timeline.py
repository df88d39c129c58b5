"""When each frame of a session is shown: movies in order, padded, on a clock of frame pulses.

The order of frames is that of `add_section_time`: each movie takes `pad + length + 1 + pad` frames, and the first four
pulses that a recording holds are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hdmea.io.stimulus_config import FRAME_RATE_HZ
from hdmea.simulate.stimuli import GREY, Movie

UNCOUNTED_PULSES = 4
LEAD_S = 0.5
TAIL_S = 1.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """A session's frames on the sample clock.

    pulse_samples: (pulses,) first sample of each frame, uncounted pulses included. shown: (movie, first frame) of each
    presentation, in counted frames. sample_count: the recording's length.
    """

    pulse_samples: npt.NDArray[np.int64]
    shown: tuple[tuple[Movie, int], ...]
    sampling_rate: float
    sample_count: int

    @property
    def frame_count(self) -> int:
        """Counted frames."""
        return len(self.pulse_samples) - UNCOUNTED_PULSES

    @property
    def frame_samples(self) -> npt.NDArray[np.int64]:
        """First sample of each counted frame (frame_count,)."""
        return self.pulse_samples[UNCOUNTED_PULSES:]

    def mean_luminance(self) -> npt.NDArray[np.float64]:
        """The photodiode's view of each counted frame (frame_count,); a movie's pads show its background."""
        trace = self.backgrounds().astype(np.float64)
        for movie, start in self.shown:
            trace[start : start + movie.length] = movie.mean_luminance()
        return trace

    def backgrounds(self) -> npt.NDArray[np.int64]:
        """The background luminance of the movie that each counted frame belongs to (frame_count,)."""
        trace = np.full(self.frame_count, GREY, np.int64)
        begin = 0
        for movie, start in self.shown:
            pad = start - begin
            trace[begin : start + movie.length + 1 + pad] = movie.background
            begin = start + movie.length + 1 + pad
        trace[begin:] = trace[begin - 1] if self.shown else GREY
        return trace


def arrange(
    movies: Sequence[Movie], *, sampling_rate: float, pad_frames: int, repeats: int, duration_s: float | None
) -> Timeline:
    """Movies in order, `repeats` times over, from `LEAD_S` on; frames go on until the recording ends.

    duration_s: of the recording; None: until `TAIL_S` after the last movie. `ValueError` where it is too short.
    """
    shown: list[tuple[Movie, int]] = []
    count = 0
    for movie in list(movies) * repeats:
        shown.append((movie, count + pad_frames))
        count += 2 * pad_frames + movie.length + 1
    least_s = LEAD_S + (UNCOUNTED_PULSES + count) / FRAME_RATE_HZ + TAIL_S
    if duration_s is None:
        duration_s = least_s
    elif duration_s < least_s and movies:
        raise ValueError(f"duration_s={duration_s:g}: this playlist takes {least_s:.2f} s")
    pulses = max(0, int((duration_s - LEAD_S) * FRAME_RATE_HZ))
    pulse_samples = np.rint((LEAD_S + np.arange(pulses) / FRAME_RATE_HZ) * sampling_rate).astype(np.int64)
    return Timeline(pulse_samples, tuple(shown), sampling_rate, round(duration_s * sampling_rate))
