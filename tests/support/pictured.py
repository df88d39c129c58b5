"""A recording of one unit with everything that pictures show, at places that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hdmea.pipeline import create_session
from hdmea.session.session import PipelineSession

RATE, UNIT, MOVIE = 10_000.0, "unit_000", "flash $x_1"
STA = "sta_noise"


def made(tmp_path: Path) -> PipelineSession:
    """One unit with everything: spikes every 10 ms for 4 s, two trials of 2 s, a field and an image of known place."""
    session = create_session("<b>odd & name</b>", output_dir=tmp_path)
    spikes = (np.arange(400) * 100).astype(np.uint64)
    y, x = np.mgrid[:15, :15]
    image_y, image_x = np.mgrid[:20, :25]
    course = np.array([0.0, 0.2, 1.0, -0.3])
    image = -np.exp(-((image_x - 8.0) ** 2 + (image_y - 12.0) ** 2) / 4)[None] * np.array([0, 10.0, 0])[:, None, None]
    session.units[UNIT] = {
        "spike_times": spikes,
        "waveform": np.array([0, 1, -5, 2, 0], np.float32),
        "row": 13,
        "col": 9,
        "spike_times_sectioned": {
            MOVIE: {
                "trials_spike_times": {0: spikes[:200].astype(np.int64), 1: spikes[200:300].astype(np.int64)},
                "trials_start_end": np.array([[0, 20_000], [20_000, 40_000]]),
            }
        },
        "features": {
            "bar": {
                "data": {
                    "directions_deg": np.arange(0, 360, 90.0),
                    "tuning_curve": np.array([1.0, 8.0, 2.0, -1.0]),
                    "preferred_direction": 90.0,
                    "preferred_direction_se": 10.0,
                    "dsi": 0.6,
                    "dsi_p_value": 0.002,
                }
            },
            STA: {
                "data": (np.exp(-((x - 9) ** 2 / 8 + (y - 4) ** 2 / 2)) * course[:, None, None]).astype(np.float32),
                "sta_geometry": {
                    "center_col": 9.0,
                    "center_row": 4.0,
                    "sigma_major": 2.0,
                    "sigma_minor": 1.0,
                    "theta": 30.0,
                    "peak_frame": 2.0,
                    "peak_row": 4.0,
                    "peak_col": 9.0,
                    "significant": True,
                },
            },
            "eimage_sta": {
                "data": image.astype(np.float32),
                "metadata": {"pre_samples": 1, "sampling_rate": RATE},
                "geometry": {"center_col": 8.0, "center_row": 12.0},
            },
            "ap_tracking": {
                "post_processed_data": {
                    "axon_centroids": np.array([[1, 9.0, 12, 5], [2, np.nan, 3, 1], [3, 14, 13, 5]])
                }
            },
        },
    }
    session.metadata |= {"acquisition_rate": RATE, "recording_duration_s": 8.0}
    light = np.zeros(80_000, np.float32)
    light[30_000:40_000] = 5
    session.stimulus |= {
        "light_reference": {"raw_ch1": light},
        "section_time": {MOVIE: np.array([[0, 20_000], [20_000, 40_000]], np.uint64)},
    }
    return session
