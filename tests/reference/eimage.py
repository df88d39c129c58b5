"""Electrical images and zero-phase filtering, the obvious way: everything in memory, one spike at a time."""

from __future__ import annotations

import numpy as np
from scipy.signal import sosfiltfilt


def highpass(recording, sos):
    """The whole recording (frames, channels), filtered forwards and backwards in double precision."""
    return sosfiltfilt(sos, np.asarray(recording, np.float64), axis=0)


def electrical_images(recording, spikes_by_unit, window, sos=None, limit=None):
    """Mean windows (units, window, channels), spikes used and excluded of each unit."""
    recording = np.asarray(recording, np.float64)
    low, high = window
    level = recording.mean(axis=0)
    cleaned = recording - level if sos is None else highpass(recording, sos)
    images, used, excluded = [], [], []
    for spikes in spikes_by_unit:
        total = np.zeros((high - low, recording.shape[1]))
        count = outside = 0
        for spike in sorted(int(spike) for spike in spikes):
            if spike + low < 0 or spike + high > len(recording):
                outside += 1
            elif limit is None or count < limit:
                total += cleaned[spike + low : spike + high]
                count += 1
        images.append(total / count if count else np.full_like(total, np.nan))
        used.append(count)
        excluded.append(outside)
    return np.array(images).reshape(len(spikes_by_unit), high - low, recording.shape[1]), used, excluded
