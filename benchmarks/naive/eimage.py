"""Electrical images the obvious way: read, filter the whole with scipy, average windows; and with SpikeInterface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.signal import butter, sosfiltfilt


def electrical_images(
    path: Path,
    name: str,
    spikes_by_unit: list[np.ndarray[Any, Any]],
    window: tuple[int, int],
    cutoff_hz: float,
    order: int,
    rate: float,
) -> np.ndarray[Any, Any]:
    """Mean windows (units, window, channels) of the whole recording, filtered without phase shift."""
    with h5py.File(path, "r") as file:
        recording = file[name][()].reshape(len(file[name]), -1)
    sos = butter(order, cutoff_hz, "highpass", fs=rate, output="sos")
    filtered = sosfiltfilt(sos, recording.astype(np.float32), axis=0)
    low, high = window
    images = []
    for spikes in spikes_by_unit:
        inside = spikes[(spikes + low >= 0) & (spikes + high <= len(recording))]
        windows = inside[:, None] + np.arange(low, high)
        images.append(filtered[windows].mean(axis=0))
    return np.array(images, np.float32)


def spikeinterface_images(
    path: Path,
    name: str,
    spikes_by_unit: list[np.ndarray[Any, Any]],
    window: tuple[int, int],
    cutoff_hz: float,
    order: int,
    rate: float,
    threads: int,
) -> np.ndarray[Any, Any]:
    """The same by `highpass_filter` and `estimate_templates`, on the dataset's bytes mapped into memory."""
    from spikeinterface.core import BinaryRecordingExtractor, estimate_templates
    from spikeinterface.preprocessing import highpass_filter

    with h5py.File(path, "r") as file:
        dataset = file[name]
        channels, offset = int(np.prod(dataset.shape[1:])), dataset.id.get_offset()
    raw = BinaryRecordingExtractor(path, rate, "int16", channels, file_offset=offset)
    filtered = highpass_filter(raw, freq_min=cutoff_hz, filter_order=order, dtype="float32")
    low, high = window
    trains = [spikes[(spikes + low >= 0) & (spikes + high <= raw.get_num_samples())] for spikes in spikes_by_unit]
    vector = np.zeros(
        sum(map(len, trains)), [("sample_index", "int64"), ("unit_index", "int64"), ("segment_index", "int64")]
    )
    vector["sample_index"] = np.concatenate(trains)
    vector["unit_index"] = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    vector = vector[np.argsort(vector["sample_index"], kind="stable")]
    images: np.ndarray[Any, Any] = estimate_templates(
        filtered,
        vector,
        np.arange(len(trains)),
        -low,
        high,
        return_in_uV=False,
        n_jobs=threads,
        pool_engine="thread",
        chunk_duration="0.2s",
        progress_bar=False,
    )
    return images
