"""One channel of an MCS-HDF5 file of 252 electrodes at 25 kHz, against the vendor's own reader."""

from __future__ import annotations

import os
import warnings

import h5py
import numpy as np
import pytest
from harness import versus

from hdmea.io import read_mcs
from hdmea.simulate import McsH5Options, simulate_mcs_h5

SECONDS = float(os.environ.get("H5BURST_BENCH_MCS_SECONDS", "60"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("mcs") / "large.h5"
    options = McsH5Options(background_hz=2.0)
    yield simulate_mcs_h5(path, n_electrodes=252, duration_s=SECONDS, options=options).path
    path.unlink()


def test_one_channel(benchmark, recording):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from McsPy.McsData import RawData
    row = 100

    def ours():
        return read_mcs(recording).recordings[0].analog_streams[0].read(row)

    def vendors():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = RawData(str(recording))
            stream = file.recordings[0].analog_streams[0]
            channel = next(n for n, info in stream.channel_infos.items() if info.row_index == row)
            values = stream.get_channel(channel)[0]
            file.h5_file.close()
        return values

    with h5py.File(recording) as file:
        stored = file["Data/Recording_0/AnalogStream/Stream_0/ChannelData"].id.get_storage_size()
    versus(
        benchmark,
        ours,
        vendors,
        other_name="McsPyDataTools",
        same=lambda a, b: np.array_equal(a, b),
        rounds=3,
        megabytes_compressed=stored / 1e6,
        target=5.0,
    )
