"""Kilosort and phy directories, and sortings of SpikeInterface, as recordings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from h5burst.console import run as run_command
from hdmea.cli import app
from hdmea.io.kilosort import read_parameters
from hdmea.pipeline import PipelineSession, create_session, load_spikes
from hdmea.session.validate_layout import check_recording
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

PARAMS = (
    "dat_path = r'C:\\data\\raw.dat'\nn_channels_dat = 4\ndtype = 'int16'\noffset = 0\n"
    "sample_rate = 25000.\nhp_filtered = False\n"
)


def written(directory: Path, **arrays: Any) -> Path:
    """A directory as Kilosort 2 and phy leave one: three clusters, of which phy has made one by merging."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 250_000, 300)).astype(np.uint64)
    templates = np.repeat([0, 1, 2, 2, 1, 0], 50).astype(np.int32)
    clusters = templates.copy()
    clusters[templates == 2] = 17
    shapes = np.zeros((3, 20, 4), np.float32)
    for number in range(3):
        shapes[number, 8, number + 1] = -10.0 - number
    files = {
        "spike_times": times[:, None],
        "spike_clusters": clusters,
        "spike_templates": templates[:, None],
        "templates": shapes,
        "channel_positions": np.array([[0.0, 0], [16, 0], [0, 20], [16, 20]]),
        "channel_map": np.arange(4),
    } | arrays
    for name, array in files.items():
        if array is not None:
            np.save(directory / f"{name}.npy", array)
    (directory / "params.py").write_text(PARAMS)
    (directory / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n17\tmua\n")
    (directory / "cluster_ContamPct.tsv").write_text("cluster_id\tContamPct\n0\t1.5\n1\t80\n")
    return directory


def test_clusters_become_units_with_labels_templates_and_places(tmp_path: Path) -> None:
    path = load_spikes(written(tmp_path / "ks"), output_dir=tmp_path).hdf5_path

    session = PipelineSession.load(path)
    assert session.dataset_id == "ks"
    assert session.metadata["acquisition_rate"] == 25_000.0
    assert list(session.units) == ["unit_000", "unit_001", "unit_017"]
    times = np.load(tmp_path / "ks" / "spike_times.npy").ravel()
    clusters = np.load(tmp_path / "ks" / "spike_clusters.npy")
    for number, unit in zip((0, 1, 17), session.units.values(), strict=True):
        assert np.array_equal(unit["spike_times"], times[clusters == number])
        assert unit["unit_num"] == number
    merged = session.units["unit_017"]
    assert merged["unit_meta"] == {"group": "mua", "x_um": 16.0, "y_um": 20.0}
    assert session.units["unit_000"]["unit_meta"]["ContamPct"] == 1.5
    assert session.units["unit_001"]["unit_meta"]["ContamPct"] == 80
    assert merged["waveform"].min() == -12.0
    assert merged["features"]["template"]["data"].shape == (20, 4)
    assert session.metadata["sys_meta"]["dtype"] == "int16"
    assert check_recording(path) == []


def test_spikeinterface_reads_the_same_clusters(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    extractors = pytest.importorskip("spikeinterface.extractors")
    if not hasattr(pytest.importorskip("spikeinterface.core"), "create_sorting_analyzer"):
        pytest.skip("spikeinterface before 0.101")
    directory = written(tmp_path / "ks")
    theirs = extractors.read_phy(directory)

    session = create_session("ours", output_dir=tmp_path)
    load_spikes(directory, session=session)

    for own in theirs.unit_ids:
        assert np.array_equal(theirs.get_unit_spike_train(own), session.units[f"unit_{own:03d}"]["spike_times"])
    assert theirs.sampling_frequency == session.metadata["acquisition_rate"]


def test_params_are_read_as_literals_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "params.py"
    witness = tmp_path / "was_run"
    path.write_text(
        f"import pathlib\npathlib.Path({str(witness)!r}).touch()\nsample_rate = 30000.\n"
        "other = sample_rate * 2\nfirst, second = 1, 2\ndat_path = ['a.dat', 'b.dat']\n"
        f"trap = open({str(witness)!r}, 'w')\n"
    )

    assert read_parameters(path) == {"sample_rate": 30000.0, "dat_path": ["a.dat", "b.dat"]}
    assert not witness.exists()
    for text in ("sample_rate = (", "a = " + "(" * 5000, "x" * 70_000, "a\0b"):
        path.write_text(text)
        with pytest.raises(DataLoadError, match=r"params\.py"):
            read_parameters(path)


def test_arrays_of_pickled_objects_are_refused(tmp_path: Path) -> None:
    directory = written(tmp_path / "ks", spike_clusters=np.array([{"a": 1}] * 300, dtype=object))

    with pytest.raises(DataLoadError, match=r"spike_clusters\.npy"):
        load_spikes(directory, output_dir=tmp_path)
    assert not (tmp_path / "ks.h5").exists()


def test_numbers_that_no_sorter_writes_take_neither_memory_nor_time(tmp_path: Path) -> None:
    huge = np.full(300, 2**61, np.int64)
    session = create_session("x", output_dir=tmp_path)
    load_spikes(written(tmp_path / "a", spike_templates=huge, spike_clusters=huge), session=session)
    assert list(session.units) == [f"unit_{2**61}"]
    with pytest.raises(DataLoadError, match="is that the rate"):
        load_spikes(written(tmp_path / "b", spike_times=huge), output_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("spike_clusters", np.zeros(3, np.int32), "3 values for 300 spikes"),
        ("spike_times", np.array([-1, 5]), "-1 to 5"),
        ("spike_times", np.array([0.5, 5.0]), "fractions"),
        ("spike_times", np.zeros((2, 3), np.int64), "shape"),
        ("templates", np.zeros((3, 4), np.float32), "three axes"),
        ("channel_positions", np.array(["a"]), "not numbers"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, name: str, array: Any, message: str) -> None:
    with pytest.raises(DataLoadError, match=message):
        load_spikes(written(tmp_path / "ks", **{name: array}), output_dir=tmp_path)


def test_templates_of_unknown_channels_are_left_out_with_a_warning(tmp_path: Path) -> None:
    session = create_session("x", output_dir=tmp_path)
    load_spikes(written(tmp_path / "ks", channel_positions=np.zeros((3, 2))), session=session)

    assert [len(unit["waveform"]) for unit in session.units.values()] == [0, 0, 0]
    assert sum(len(unit["spike_times"]) for unit in session.units.values()) == 300
    assert "templates of 4 channels, positions of 3" in session.warnings[0]


@pytest.mark.parametrize("sparse", [True, False])
def test_what_spikeinterface_exports_to_phy_is_read(
    tmp_path: Path, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas")
    si = pytest.importorskip("spikeinterface.full")
    if not hasattr(si, "create_sorting_analyzer"):
        pytest.skip("spikeinterface before 0.101")
    # Similarities of templates, which are not read, are not worth ten seconds of compiling.
    similarity = pytest.importorskip("spikeinterface.postprocessing.template_similarity")
    if hasattr(similarity, "_compute_similarity_matrix_numpy"):
        monkeypatch.setattr(similarity, "_compute_similarity_matrix", similarity._compute_similarity_matrix_numpy)
    recording, sorting = si.generate_ground_truth_recording(num_channels=48, num_units=4, durations=[5.0], seed=0)
    analyzer = si.create_sorting_analyzer(sorting, recording, sparse=sparse)
    quiet = {"n_jobs": 1, "progress_bar": False}
    analyzer.compute(["random_spikes", "waveforms", "templates", "noise_levels", "spike_amplitudes"], **quiet)
    si.export_to_phy(analyzer, tmp_path / "phy", compute_pc_features=False, copy_binary=False, verbose=False)

    session = create_session("x", output_dir=tmp_path)
    load_spikes(tmp_path / "phy", session=session)

    templates = analyzer.get_extension("templates")
    dense = {own: templates.get_unit_template(own) for own in analyzer.unit_ids}
    positions = recording.get_channel_locations()
    assert session.unit_count == 4
    for own, unit in zip(analyzer.unit_ids, session.units.values(), strict=True):
        assert np.array_equal(unit["spike_times"], sorting.get_unit_spike_train(own))
        data = unit["features"]["template"]["data"]
        assert np.allclose(data, dense[own], rtol=1e-6)
        peak = int(np.argmax(np.ptp(dense[own], axis=0)))
        assert (unit["unit_meta"]["x_um"], unit["unit_meta"]["y_um"]) == pytest.approx(tuple(positions[peak]))


@pytest.mark.parametrize("number", ["", "x", "1" * 5000])
def test_a_label_without_its_cluster_is_named(tmp_path: Path, number: str) -> None:
    directory = written(tmp_path / "ks")
    (directory / "cluster_group.tsv").write_text(f"cluster_id\tgroup\n{number}\tgood\n")
    with pytest.raises(DataLoadError, match=r"cluster_group\.tsv has a row without a cluster_id: "):
        load_spikes(directory, output_dir=tmp_path)


def test_a_table_of_labels_that_is_not_text_is_named(tmp_path: Path) -> None:
    directory = written(tmp_path / "ks")
    (directory / "cluster_group.tsv").write_bytes(b"cluster_id\tgroup\n0\tgr\xfcn\n")
    with pytest.raises(DataLoadError, match=r"cluster_group\.tsv cannot be read as a table: "):
        load_spikes(directory, output_dir=tmp_path)


@pytest.mark.parametrize("rate", ["0.0", "-5", "True", "'fast'", "[1]"])
def test_a_rate_in_the_parameters_that_is_none_is_refused(tmp_path: Path, rate: str) -> None:
    directory = written(tmp_path / "ks")
    (directory / "params.py").write_text(f"sample_rate = {rate}\n")
    with pytest.raises(ConfigurationError, match=r"sample_rate of .*ks must be a positive number of Hz, not "):
        load_spikes(directory, output_dir=tmp_path)


def test_a_sorting_of_several_segments_and_spikes_before_its_start_are_refused(tmp_path: Path) -> None:
    core = pytest.importorskip("spikeinterface.core")
    train = {"a": np.array([1, 2])}
    two = core.NumpySorting.from_unit_dict([train, train], 24_000.0)
    with pytest.raises(ConfigurationError, match=r"the sorting has 2 segments: give one by sorting\.select_segments"):
        load_spikes(two, "rec", output_dir=tmp_path)
    early = core.NumpySorting.from_unit_dict({"a": np.array([-3, 2])}, 24_000.0)
    with pytest.raises(DataLoadError, match="unit a has spikes before the recording's start"):
        load_spikes(early, "rec", output_dir=tmp_path)


def test_what_is_optional_may_be_missing(tmp_path: Path) -> None:
    missing = dict.fromkeys(("templates", "channel_positions", "spike_clusters"))
    directory = written(tmp_path / "ks", **missing)
    (directory / "params.py").unlink()

    with pytest.raises(ConfigurationError, match="give acquisition_rate"):
        load_spikes(directory, output_dir=tmp_path)
    session = create_session("x", output_dir=tmp_path)
    load_spikes(directory, acquisition_rate=10_000.0, session=session)
    assert list(session.units) == ["unit_000", "unit_001", "unit_002"]  # the templates, without clusters
    assert session.units["unit_000"]["waveform"].size == 0
    assert session.metadata["acquisition_rate"] == 10_000.0
    with pytest.raises(DataLoadError, match=r"spike_times\.npy"):
        load_spikes(tmp_path, "y", output_dir=tmp_path)


def test_a_rate_that_is_given_counts_with_a_warning(tmp_path: Path) -> None:
    result = load_spikes(written(tmp_path / "ks"), acquisition_rate=20_000.0, output_dir=tmp_path)

    assert any("25000 Hz" in text for text in result.warnings)
    assert PipelineSession.load(result.hdf5_path).metadata["acquisition_rate"] == 20_000.0


def test_command_takes_a_directory(tmp_path: Path) -> None:
    directory = written(tmp_path / "ks")

    words = ["run", "--spikes", directory, "-o", tmp_path, "--steps", "load_spikes", "--quiet"]
    assert run_command(app, [str(word) for word in words]) == 0
    assert (tmp_path / "ks.h5").exists()


# ---------------------------------------------------------------- SpikeInterface


def test_any_sorting_is_loaded_with_its_properties(tmp_path: Path) -> None:
    core = pytest.importorskip("spikeinterface.core")
    times = [np.array([5, 900, 901]), np.array([], np.int64), np.array([44])]
    sorting = core.NumpySorting.from_unit_dict({f"cell {n}": one for n, one in enumerate(times)}, 24_000.0)
    sorting.set_property("quality", ["good", "mua", "noise"])
    sorting.set_property("snr", [4.5, 1.0, 2.0])

    session = create_session("rec", output_dir=tmp_path)
    load_spikes(sorting, session=session)

    assert list(session.units) == ["unit_001", "unit_002", "unit_003"]
    for unit, train in zip(session.units.values(), times, strict=True):
        assert np.array_equal(unit["spike_times"], train)
    assert session.units["unit_002"]["unit_meta"] == {"quality": "mua", "snr": 1.0}
    assert session.units["unit_003"]["original_name"] == "cell 2"
    assert session.metadata["acquisition_rate"] == 24_000.0
    with pytest.raises(ConfigurationError, match="give dataset_id"):
        load_spikes(sorting, output_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="24000 Hz, not 20000"):
        load_spikes(sorting, "rec", acquisition_rate=20_000.0, output_dir=tmp_path)
    assert load_spikes(sorting, "rec", output_dir=tmp_path).num_units == 3


def test_what_spikeinterface_opens_is_read_by_the_name_of_its_reader(tmp_path: Path) -> None:
    core = pytest.importorskip("spikeinterface.core")
    sorting = core.NumpySorting.from_unit_dict({3: np.array([7, 8]), 12: np.array([9])}, 20_000.0)
    sorting.save(folder=tmp_path / "saved")
    core.NpzSortingExtractor.write_sorting(sorting, tmp_path / "sorting.npz")

    for path, reader in ((tmp_path / "saved", "folder"), (tmp_path / "sorting.npz", "npz_sorting")):
        session = create_session("x", output_dir=tmp_path)
        load_spikes(path, reader=reader, session=session)
        assert {name: unit["spike_times"].tolist() for name, unit in session.units.items()} == {
            "unit_003": [7, 8],
            "unit_012": [9],
        }
    with pytest.raises(ConfigurationError, match="no reader 'nonsense'"):
        load_spikes(tmp_path / "saved", reader="nonsense", output_dir=tmp_path)
    with pytest.raises(DataLoadError, match="saved"):
        load_spikes(tmp_path / "saved", reader="yass", output_dir=tmp_path)


def test_missing_spikeinterface_is_said_with_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "spikeinterface"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "spikeinterface", None)

    with pytest.raises(ImportError, match=r"pip install 'h5burst\[neuro\]'"):
        load_spikes(tmp_path, "x", reader="yass", output_dir=tmp_path)
