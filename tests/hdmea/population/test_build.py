"""A population from files of recordings: tables, one file, a page, and what a second run does."""

from __future__ import annotations

import gc
import os
import platform
import signal
import subprocess
import sys
import time
import tracemalloc
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest

import h5burst
from h5burst import console
from hdmea.batch import local
from hdmea.batch.run import Engine
from hdmea.cli import app
from hdmea.io import section_spike_times
from hdmea.population import build, parts, responses
from hdmea.population.build import build_population
from hdmea.utils.exceptions import ConfigurationError
from support.hdmea_recordings import recording

STEP = "step_up_5s_5i_b0_3x"

pytest.importorskip("sklearn")
pytest.importorskip("shapely")


def saved(directory: Path, name: str, units: int, seed: int) -> Path:
    """A recording of cells that answer light: half of them on, half of them off."""
    session = recording(directory, units=units, frames=3000, seed=seed, dataset_id=name)
    frames = session.metadata["frame_timestamps"].astype(int)
    rng = np.random.default_rng(seed)
    session.add_stimulus({"section_time": {STEP: frames[[100, 2500]].astype(np.uint64)[None]}})
    on = 100 + 60 + 240 + 600 * np.arange(3) + 60
    for n, unit in enumerate(session.units.values()):
        starts = on if n % 2 else on + 300
        response = [rng.uniform(frames[start], frames[start + 60], 40) for start in starts]
        background = rng.uniform(0, frames[-1], 60)
        unit["spike_times"] = np.sort(np.concatenate([background, *response])).astype(np.uint64)
        image = np.random.default_rng(seed).normal(size=(20, 65, 65)).astype(np.float32)
        image[6:8, 10, 10 + n] = [-300, 300]
        unit["features"]["eimage_sta"] = {"data": image}
    section_spike_times(session=session)
    return session.save(directory / f"{name}.h5")


_MODULES_OF_A_PART = """
import sys
from pathlib import Path
from hdmea.population import preload

before = set(sys.modules)
from hdmea.population.parts import make_part

make_part(Path(sys.argv[1]), Path(sys.argv[2]))
print(*sorted(name for name in set(sys.modules) - before if name.startswith("scipy")))
"""


def test_the_server_of_workers_has_loaded_what_a_recording_needs(tmp_path: Path) -> None:
    """Each new process would load scipy's filters again."""
    file = saved(tmp_path, "one", 5, 0)
    command = [sys.executable, "-c", _MODULES_OF_A_PART, str(file), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_population_of_two_recordings(tmp_path: Path) -> None:
    files = [saved(tmp_path, "one", 40, 0), saved(tmp_path, "two", 35, 1)]

    made = build_population(files, tmp_path / "population", max_types=4)

    assert (made.recordings, made.cells) == (2, 75)
    cells = pl.read_parquet(tmp_path / "population" / "cells.parquet")
    assert cells["key"].to_list()[:2] == ["one_unit_001", "one_unit_002"]
    assert cells["key"].n_unique() == 75
    on = cells.filter(pl.col("unit").str.tail(1).cast(pl.Int64) % 2 == 0)  # n of the loop is odd
    assert (on["step_on_off_ratio"] > 0.5).all()
    assert cells["type"].n_unique() >= 2
    assert cells.filter(pl.col("recording") == "one")["total_unit_count"].to_list() == [40] * 40
    with h5py.File(tmp_path / "population" / "population.h5") as file:
        rates = file[f"traces/{STEP}/rates"]
        assert rates.shape == (75, 3, 600)
        assert rates.id.get_storage_size() < rates.nbytes / 3  # most bins are without a spike
        assert file[f"traces/{STEP}/keys"].asstr()[41] == "two_unit_002"
        [(keys, own)] = parts.groups_of(tmp_path / "population" / "parts" / "two.h5")[STEP]
        np.testing.assert_array_equal(rates[41], own[keys.index("two_unit_002")])
    areas = pl.read_parquet(tmp_path / "population" / "areas.parquet")
    assert areas["electrodes"].to_list() == [40, 35]  # a row of neighbours: all of its circles overlap
    assert areas["area_mm2"][0] == pytest.approx((39 * 6 + np.pi * 9) * 0.016**2, rel=0.05)
    types = pl.read_parquet(tmp_path / "population" / "types.parquet")
    assert types["cells"].sum() == 75
    assert all(len(shares) == 2 for shares in types["shares"])
    page = (tmp_path / "population" / "index.html").read_text(encoding="utf-8")
    assert "75 cells of 2 recordings" in page
    assert '<th scope="col" class="number">stability</th>' in page  # above its numbers, which stand on the right
    assert page.count("<polyline") == len(types)  # a response of each type to the only stimulus

    before = marks(tmp_path / "population")
    again = build_population(files, tmp_path / "population", max_types=4)
    assert again.cells == 75
    assert marks(tmp_path / "population") == before
    assert pl.read_parquet(tmp_path / "population" / "cells.parquet").equals(cells, null_equal=True)

    (tmp_path / "population" / "index.html").unlink()
    assert console.run(app, ["report", str(tmp_path / "population")]) == 0
    assert (tmp_path / "population" / "index.html").read_text(encoding="utf-8") == page


def marks(directory: Path) -> dict[str, int]:
    """When each recording was read."""
    return {path.stem: path.stat().st_mtime_ns for path in (directory / "parts").glob("*.h5")}


def same_tables(one: Path, other: Path) -> None:
    for name in ("cells", "types", "mosaics", "areas", "matches"):
        first, second = (pl.read_parquet(directory / f"{name}.parquet") for directory in (one, other))
        assert first.equals(second, null_equal=True), name


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Path]:
    """Four recordings, and their population, made without interruption."""
    directory = tmp_path_factory.mktemp("four")
    files = [saved(directory, f"retina_{n}", 12, n) for n in range(4)]
    build_population(files, directory / "population", max_types=3)
    return files, directory / "population"


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
def test_a_killed_population_goes_on(four: tuple[list[Path], Path], tmp_path: Path) -> None:
    files, whole = four
    out = tmp_path / "population"
    words = [sys.executable, "-m", "hdmea", "population", *map(str, files), "-o", str(out), "--max-types", "3"]
    running = subprocess.Popen([*words, "--jobs", "1"], start_new_session=True, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list((out / "parts").glob("*.json")) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    done = {path.stem for path in (out / "parts").glob("*.json")}
    before = {name: stamp for name, stamp in marks(out).items() if name in done}
    assert 1 <= len(before) < 4
    assert not (out / "cells.parquet").exists()

    build_population(files, out, max_types=3)

    after = marks(out)
    assert {name: after[name] for name in before} == before
    same_tables(out, whole)


@pytest.mark.parametrize("killed", [False, True])
def test_a_worker_reads_one_recording_after_another(
    killed: bool, four: tuple[list[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[Any] = []
    start = local._started

    def started(*arguments: Any) -> Any:
        workers.append(start(*arguments))
        return workers[-1]

    def collected(pool: Any) -> Any:
        ended = collect(pool)
        if killed and ended and len(workers) == 1:
            workers[0].kill()  # while it waits for its second recording
            workers[0].join()
        return ended

    collect = local._Pool.collect
    monkeypatch.setattr(local, "_started", started)
    monkeypatch.setattr(local._Pool, "collect", collected)

    build_population(four[0], tmp_path, max_types=3, engine=Engine(jobs=1))

    assert len(workers) == (2 if killed else 1)
    assert [worker.exitcode for worker in workers] == ([-9, 0] if killed else [0])
    same_tables(tmp_path, four[1])


def test_tasks_of_an_array_read_shares_and_the_last_call_builds(
    four: tuple[list[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, whole = four
    words = ["population", *map(str, files), "-o", str(tmp_path / "out"), "--max-types", "3"]
    assert console.run(app, [*words, "--array-task", "0", "--array-count", "2"]) == 0
    assert sorted(marks(tmp_path / "out")) == ["retina_0", "retina_2"]
    assert console.run(app, [*words, "--array-task", "1", "--array-count", "2"]) == 0
    before = marks(tmp_path / "out")
    assert console.run(app, words) == 0
    assert marks(tmp_path / "out") == before
    same_tables(tmp_path / "out", whole)
    capsys.readouterr()
    assert console.run(app, [*words, "--print-slurm", "--slurm-tasks", "2"]) == 0
    assert '--array-task "$SLURM_ARRAY_TASK_ID" --array-count 2' in capsys.readouterr().out


def test_dask_makes_the_same_population(four: tuple[list[Path], Path], tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    files, whole = four
    with distributed_cluster() as address:
        build_population(files, tmp_path / "out", max_types=3, engine=Engine("dask", scheduler=address))
    same_tables(tmp_path / "out", whole)


@contextmanager
def distributed_cluster() -> Iterator[str]:
    import distributed

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield str(cluster.scheduler_address)


def test_a_recording_that_cannot_be_read_is_left_out_and_named(
    four: tuple[list[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"no recording")
    words = ["population", str(four[0][0]), str(broken), "-o", str(tmp_path / "out")]
    assert console.run(app, words) == 1
    assert "broken is left out: " in capsys.readouterr().err
    assert pl.read_parquet(tmp_path / "out" / "cells.parquet")["recording"].unique().to_list() == ["retina_0"]
    assert "broken is left out" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_a_changed_recording_is_read_anew(tmp_path: Path) -> None:
    file = saved(tmp_path, "one", 3, 0)
    build_population([file], tmp_path / "population")
    saved_again = saved(tmp_path / "again", "one", 5, 2)
    file.write_bytes(saved_again.read_bytes())
    assert build_population([file], tmp_path / "population").cells == 5


def test_names_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = saved(tmp_path, "one", 2, 0)
    with pytest.raises(ConfigurationError, match="two recordings are named one"):
        build_population([file, file], tmp_path / "out")
    with pytest.raises(ConfigurationError, match="no recordings gone"):
        build_population([file], tmp_path / "out", chips={"chip": ["one", "gone"]})
    assert console.run(app, ["population", str(file), "-o", str(tmp_path / "out"), "--chip", "nonsense"]) != 0


def test_a_directory_of_parts_that_stays_empty_is_removed(tmp_path: Path) -> None:
    (tmp_path / "bad.h5").write_bytes(b"not HDF5")
    words = ["population", str(tmp_path / "bad.h5"), "-o", str(tmp_path / "out")]
    assert console.run(app, [*words, "--array-task", "0", "--array-count", "2"]) == 1
    assert console.run(app, [*words, "--array-task", "1", "--array-count", "2"]) == 0  # nothing in its share
    assert not (tmp_path / "out" / "parts").exists()


def test_means_of_all_recordings_are_in_memory_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    part_paths, written = [], []
    for n in range(16):
        means = rng.normal(0, 1, (100, 1000 + n % 2)).astype(np.float32)
        stored = {"m": {"keys": [f"r{n}_unit_{unit:03d}" for unit in range(100)], "means": means}}
        h5burst.save(tmp_path / f"r{n}.h5", {"means": stored})
        part_paths.append(tmp_path / f"r{n}.h5")
        written.append(means[:, :1000])
    tracemalloc.start()
    joined = build._means(part_paths)["m"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(joined.values, np.concatenate(written))
    assert joined.keys[100] == "r1_unit_000"
    assert peak < 1.5 * joined.values.nbytes


def test_means_are_gone_before_tables_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[weakref.ref[Any]] = []
    alive: list[bool] = []
    read_means, make_areas = build._means, build._areas_table

    def kept(part_paths: Sequence[Path]) -> Any:
        means = read_means(part_paths)
        joined.extend(weakref.ref(one.values) for one in means.values())
        return means

    def areas(*given: Any) -> pl.DataFrame:
        gc.collect()
        alive.extend(one() is not None for one in joined)
        return make_areas(*given)

    monkeypatch.setattr(build, "_means", kept)
    monkeypatch.setattr(build, "_areas_table", areas)
    build_population([saved(tmp_path, "one", 4, 0)], tmp_path / "population")
    assert alive == [False]


def test_what_no_table_is_made_of_is_not_decoded(tmp_path: Path) -> None:
    session = parts._opened(saved(tmp_path, "one", 3, 0))
    [unit, *_] = session.units.values()
    assert set(unit["spike_times_sectioned"][STEP]) >= {"trials_start_end"}
    assert not {"trials_spike_times", "full_spike_times"} & set(unit["spike_times_sectioned"][STEP])


def test_long_light_is_filtered_for_units_that_fire_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = np.zeros((5, 3, 7200))
    rates[2] = np.random.default_rng(0).poisson(0.2, (3, 7200)) * 60
    before = responses.light_step_indices(rates[2])
    lengths: list[int] = []
    low_pass = responses.filtered

    def counting(values: Any, cutoff_hz: float) -> Any:
        lengths.append(np.size(values) // 7200)
        return low_pass(values, cutoff_hz)

    monkeypatch.setattr(responses, "filtered", counting)
    measured = responses.light_step_indices_of_units(rates)
    assert max(lengths) == 3  # the trials of one unit
    assert measured[2] == before
    assert measured[0]["iprgc_2hz_QI"] == measured[0]["iprgc_20hz_QI"] == 0.0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_memory_that_a_worker_freed_is_used_again() -> None:
    code = """if True:
        import resource
        import numpy as np
        from hdmea.batch.local import keep_freed_memory

        def faults():
            np.ones(8 << 20)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(10):
                np.ones(8 << 20)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        usual = faults()
        keep_freed_memory()
        print(usual, faults())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    usual, kept = map(int, done.stdout.split())
    assert usual > 10  # pages of 64 MiB, ten times; huge ones are 2 MiB
    assert kept < usual / 10
