"""Put the figures of benchmark runs into the documentation.

python benchmarks/report.py FIGURES.json [MORE.json ...] --into docs/performance.md docs/performance_rows.md \
    docs/auto.md README.md

What is between a pair of `<!-- NAME -->` and `<!-- end of NAME -->` is replaced in each page that has it: ten (works
and their limits), in short (the same without), limits, machine, targets, figures, growth, auto (other people's
programs). Later files replace rows of earlier ones. The plots go beside the first page. `--update` takes lines that are
measured again, and leaves all others.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scaling
from figures import more, ratio, seconds, verdicts

KINDS_OF_VALUES = "test_containers.py::test_save_and_load_by_kind_of_values"
MOVIES = ("uint8", "uint8, each frame held for 4", "int16", "float32")

Rows = dict[str, dict[str, Any]]

# The first screen: the work, the benchmark that measures it, and what keeps it from being faster.
TEN = [
    (
        "{recordings} recordings of 300 units, each from load to save in one session",
        "test_pipeline.py::test_batch[deferred-naive-8.0-simulated]",
        "a third loading, two fifths saving: page cache and checksums",
    ),
    (
        "sections, spike-triggered averages and save of one recording",
        "test_pipeline.py::test_sections_sta_save",
        "the layout of 20 000 objects, one by one",
    ),
    ("load that session, every array", "test_engine.py::test_read_tree", "making 20 000 Python objects"),
    (
        "21 000 datasets into a file that exists, whole or not at all",
        "test_transactions.py::test_21_000_datasets_into_a_file",
        "the disk, which is waited for twice",
    ),
    (
        "electrical images of 5 units",
        "test_eimage.py::test_five_units_against_spikeinterface",
        "arithmetic of the filter",
    ),
    (
        "tiling coefficients of all pairs of 60 units, an hour",
        "test_spontaneous.py::test_tiling_coefficients_beside_numpy",
        "one look-up in the cache a spike and train",
    ),
    (
        "save a container, 5000 x 8000, two decimals, gzip",
        f"{KINDS_OF_VALUES}[rounded to 2-dense]",
        "search for repeated numbers",
    ),
    ("load a container, all digits, gzip", "test_containers.py::test_load[dense-anndata]", "inflate"),
    (
        "anndata's own write of counts, after `import h5burst.auto`",
        "test_auto.py::test_write[h5ad counts-memory-h5py alone]",
        "deflate",
    ),
    ("one channel of an MCS-HDF5 file", "test_mcs_h5.py::test_one_channel", "inflate: every chunk holds all channels"),
]

# Programs with `h5burst.auto` beside h5py alone and a thread pool, and their benchmarks in test_auto.py.
PROGRAMS = [
    ('`anndata.write_h5ad(compression="gzip")`, dense, three decimals', "write[h5ad dense-{place}-{other}]"),
    ("`anndata.read_h5ad` of it", "read[h5ad dense-{place}-read-{other}]"),
    ('`anndata.write_h5ad(compression="gzip")`, counts as CSR', "write[h5ad counts-{place}-{other}]"),
    ("`anndata.read_h5ad` of it", "read[h5ad counts-{place}-read-{other}]"),
    ("pynwb: `ElectricalSeries` of int16, gzip, written", "write[nwb-{place}-{other}]"),
    ("read in full", "read[nwb-{place}-read-{other}]"),
    ("read in windows of 1 s", "read[nwb-{place}-windows-{other}]"),
    ('xarray: `to_netcdf(engine="h5netcdf")` with zlib', "write[netcdf-{place}-{other}]"),
    ("loaded", "read[netcdf-{place}-read-{other}]"),
    ("scanpy: read, normalised, principal components, written", "scanpy[{place}]"),
    ("10 000 reads of 1 KiB, gzip", "small_datasets[{place}-gzip]"),
    ("100 000 chunks of 2 kB, and a slice of them", "many_tiny_chunks[{place}]"),
]

# The work that has a target, and the benchmark that measures it.
TARGETS = [
    (
        "simulated recordings, deferred against immediate",
        "test_pipeline.py::test_batch[deferred-immediate-1.25-simulated]",
    ),
    ("real recordings, deferred against immediate", "test_pipeline.py::test_batch[deferred-immediate-1.25-real]"),
    ("simulated recordings, immediate against naive", "test_pipeline.py::test_batch[immediate-naive-4.0-simulated]"),
    ("real recordings, immediate against naive", "test_pipeline.py::test_batch[immediate-naive-4.0-real]"),
    ("simulated recordings, deferred against naive", "test_pipeline.py::test_batch[deferred-naive-8.0-simulated]"),
    ("real recordings, deferred against naive", "test_pipeline.py::test_batch[deferred-naive-8.0-real]"),
    ("a batch of 10 finished recordings", "test_finished.py::test_finished_recordings[every byte]"),
    ("the same, `--skip-by-mark`", "test_finished.py::test_finished_recordings[by mark]"),
    ("a batch's first recording is at work", "test_finished.py::test_first_recording_starts"),
    ("verify a session, against reading it", "test_finished.py::test_verify_against_reading"),
    ("one recording: sections, STA, save", "test_pipeline.py::test_sections_sta_save"),
    ("load that session, every array", "test_engine.py::test_read_tree"),
    ("open that session lazily", "test_engine.py::test_open_lazily"),
    ("load the whole recording's session, light traces and all", "test_pipeline.py::test_load_session_eager"),
    ("open the whole recording's session lazily", "test_pipeline.py::test_load_session_lazy"),
    ("20 000 datasets as a new file, 95 MB", "test_engine.py::test_emit_tree[session]"),
    ("the same datasets cut to 64 elements, 28 MB", "test_engine.py::test_emit_tree[arrays cut to 64]"),
    ("20 000 datasets as a durable save, 95 MB", "test_engine.py::test_write_tree[session]"),
    ("the same datasets cut to 64 elements, 28 MB", "test_engine.py::test_write_tree[arrays cut to 64]"),
    ("20 000 datasets grafted into an open file", "test_engine.py::test_graft"),
    ("21 000 datasets into a file, as a transaction", "test_transactions.py::test_21_000_datasets_into_a_file"),
    (
        "one attribute in a file of 600 MB, without the flushes",
        "test_transactions.py::test_one_attribute_in_a_file_of_600_MB",
    ),
    (
        "the last thousand of 3000 commits",
        "test_transactions.py::test_the_last_thousand_of_3000_commits",
    ),
    *(
        (f"repack to gzip 4, {name}, against h5repack", f"test_repack.py::test_repack[{row}]")
        for name, row in (("all digits", "full-6"), ("int16", "int16-6"), ("two decimals", "rounded-3"))
    ),
    ("tiling coefficients of 60 units of an hour", "test_spontaneous.py::test_tiling_coefficients_beside_numpy"),
    (
        "tiling coefficients of 300 units of an hour, all 44 850 pairs, against one pair",
        "test_spontaneous.py::test_tiling_coefficients_beside_elephant",
    ),
    ("tiling coefficients of 4096 channels", "test_spontaneous.py::test_tiling_coefficients_of_4096_channels"),
    ("all correlograms of 300 units", "test_spontaneous.py::test_correlograms_beside_spikeinterface"),
    (
        "all correlograms of 300 units of an hour, against one pair",
        "test_spontaneous.py::test_correlogram_beside_elephant",
    ),
    ("flow `waves`, ten recordings", "test_spontaneous.py::test_flow_of_ten_recordings"),
    ("sections, 300 units, 7 movies, without gaps", "test_kernels.py::test_sections_of_300_units_and_7_movies[0]"),
    ("the same with gaps", "test_kernels.py::test_sections_of_300_units_and_7_movies[1000]"),
    *((f"STA of 10 units, {name}", f"test_kernels.py::test_average_of_10_units[{name}]") for name in MOVIES),
    ("electrical images of 5 units, against scipy", "test_eimage.py::test_five_units_against_scipy"),
    ("electrical images of 5 units, against SpikeInterface", "test_eimage.py::test_five_units_against_spikeinterface"),
    *(
        (
            f"electrical images of {units} units from the disk",
            f"test_on_disk.py::test_electrical_images[{units}-{share}]",
        )
        for units, share in ((100, 0.8), (400, 0.6))
    ),
    ("a recording from the disk as a session of 2 GiB", "test_on_disk.py::test_a_session_beyond_its_budget"),
    ("features, 300 units, 7 stimuli", "test_features.py::test_features_of_300_units_and_7_stimuli"),
    ("soma and axon of 300 units", "test_geometry.py::test_soma_and_axon"),
    ("receptive fields of 300 units", "test_geometry.py::test_receptive_field"),
    ("linear-nonlinear models of 300 units", "test_geometry.py::test_linear_nonlinear_model"),
    ("a whole recording through the flow `full`", "test_full_flow.py::test_whole_recording"),
    ("the page of a recording of 300 units", "test_full_flow.py::test_page_of_300_units"),
    ("opening that page in Chromium", "test_full_flow.py::test_opening_that_page"),
    ("`save_hdf5`, dense, against anndata", "test_containers.py::test_save[dense-anndata]"),
    ("`load_hdf5`, dense, against anndata", "test_containers.py::test_load[dense-anndata]"),
    ("`save_hdf5`, sparse, against anndata", "test_containers.py::test_save[sparse-anndata]"),
    ("`load_hdf5`, sparse, against anndata", "test_containers.py::test_load[sparse-anndata]"),
    *(
        (f"a container, {form}, {kind}, against anndata", f"{KINDS_OF_VALUES}[{kind}-{form}]")
        for form in ("dense", "sparse")
        for kind in ("rounded to 2", "rounded to 3", "counts", "float32 as float64")
    ),
    ("1 M cells x 2 000, built and saved block by block", "test_containers.py::test_a_million_cells_block_by_block"),
    *(
        (f"`.h5ad`, {kind}, {way}", f"test_h5ad.py::test_{way}[{kind}]")
        for kind in ("sparse counts", "dense rounded to 2", "dense full digits")
        for way in ("write", "read")
    ),
    ("one channel of an MCS-HDF5 file, against the vendor's reader", "test_mcs_h5.py::test_one_channel"),
    ("peak memory of a deferred session", "test_memory.py::test_deferred_session[None]"),
    ("peak memory of a deferred session, gzip", "test_memory.py::test_deferred_session[gzip]"),
    ("`import hdmea`", "test_first_use.py::test_import[import hdmea]"),
]


def machine_text(machines: list[dict[str, Any]]) -> str:
    first = machines[0]
    versions = ", ".join(f"{name} {version}" for name, version in first["packages"].items())
    loads = [machine["load_average"][0] for machine in machines if machine["load_average"]] or [float("nan")]
    return "\n".join(
        [
            f"- {first['processor']}, {first['cores']} cores, {first['memory_GiB']} GiB; {first['system']}",
            f"- Python {first['python']}; {versions}",
            f"- load average at the end of the run's {len(machines)} parts: {min(loads):.1f} to {max(loads):.1f}",
        ]
    )


def ten_text(rows: Rows, *, limits: bool) -> str:
    lines = ["| work | h5burst | beside it | times faster |", "|---|---|---|---|"]
    if limits:
        lines = [lines[0] + " what limits it |", lines[1] + "---|"]
    for work, name, limit in TEN:
        if name in rows:
            row = rows[name]
            other = f"{row['other']}: {seconds(row['other_s'])}"
            cells = [work.format(**row), seconds(row["ours_s"]), other, ratio(row)[0]]
            lines.append("| " + " | ".join([*cells, limit] if limits else cells) + " |")
    return "\n".join(lines)


def limits_text(rows: Rows) -> str:
    """Of works whose least time was measured in the same run: what it is, and how near we are."""
    lines = ["| work | h5burst | the machine's least | for | share reached |", "|---|---|---|---|---|"]
    known = {name: work for work, name in TARGETS}
    for name, row in rows.items():
        if "limit" in row:
            work = known.get(name, name.split("::test_")[1])
            cells = [work, seconds(row["ours_s"]), seconds(row["limit_s"]), row["limit"]]
            lines.append("| " + " | ".join([*cells, f"{row['share_of_limit']:.0%}"]) + " |")
    return "\n".join(lines)


def plot_ten(rows: Rows, path: Path) -> None:
    """Bars of how many times faster, with the smallest and largest over the rounds."""
    from matplotlib.figure import Figure

    shown = [(work.format(**rows[name]), rows[name]) for work, name, _ in reversed(TEN) if name in rows]
    figure = Figure(figsize=(9, 0.42 * len(shown) + 0.9), layout="constrained")
    axes = figure.add_subplot()
    for place, (_, row) in enumerate(shown):
        low, high = (row.get(f"ratio_{end}", row["ratio"]) for end in ("min", "max"))
        axes.barh(place, row["ratio"], color="#31688e")
        axes.plot([low, high], [place, place], color="black", linewidth=1)
        axes.annotate(f" {row['ratio']:.1f} times {row['other']}", (high, place), va="center", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(1, 40 * max((row["ratio"] for _, row in shown), default=1))
    axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    axes.minorticks_off()
    axes.set_yticks(range(len(shown)), [work.replace("`", "") for work, _ in shown], fontsize=9)
    axes.set_xlabel("times faster")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def auto_text(rows: Rows) -> str:
    lines = [
        "| program | `h5burst.auto` (CPU time) | h5py alone takes | a thread pool takes | h5py alone, disk | file |",
        "|---|---|---|---|---|---|",
    ]
    for program, pattern in PROGRAMS:
        cells = [program]
        for place, other in (("memory", "h5py alone"), ("memory", "thread pool"), ("disk", "h5py alone")):
            row = rows.get("test_auto.py::test_" + pattern.format(place=place, other=other))
            if not row or ("{other}" not in pattern and other == "thread pool"):
                cells.append("")
                continue
            if len(cells) == 1:
                cells.append(f"{seconds(row['ours_s'])} ({seconds(row['ours_cpu_s'])})")
            cells.append(f"{ratio(row)[0]} times as long" + _limit_missed(row))
        size = rows.get("test_auto.py::test_" + pattern.format(place="memory", other="h5py alone"), {}).get(
            "size_ratio"
        )
        lines.append("| " + " | ".join([*cells, f"{size:.2f} of zlib's" if size else ""]) + " |")
    return "\n".join(lines)


def _limit_missed(row: dict[str, Any]) -> str:
    missed = [text for text, reached in verdicts(row) if not reached]
    return f" ({'; '.join(missed)} asked)" if missed else ""


def targets_text(rows: Rows) -> str:
    lines = ["| work | ours (CPU time) | other side | times faster | target |", "|---|---|---|---|---|"]
    for work, name in TARGETS:
        found = [row for known, row in rows.items() if known == name]
        lines += [_target_line(work, row) for row in found] or [f"| {work} | not measured | | | |"]
    return "\n".join(lines)


def _target_line(work: str, row: dict[str, Any]) -> str:
    verdict = "; ".join(f"{text}: {'reached' if reached else '**missed**'}" for text, reached in verdicts(row))
    ours = f"{row['share_of_data']:.2f} x data" if "share_of_data" in row else seconds(row["ours_s"])
    if "ours_cpu_s" in row and "share_of_data" not in row:
        ours += f" ({seconds(row['ours_cpu_s'])})"
    other = f"{row['other']}: {seconds(row['other_s'])}" if "other" in row else ""
    middle, spread = ratio(row)
    return f"| {work} | {ours} | {other} | {f'{middle} ({spread})' if middle else ''} | {verdict} |"


def figures_text(rows: Rows) -> str:
    parts = []
    for file in dict.fromkeys(name.split("::")[0] for name, row in rows.items() if "growth" not in row):
        parts += [f"### {file}", "", "| benchmark | ours | other side | its time | times faster | more |"]
        parts.append("|---|---|---|---|---|---|")
        for name, row in rows.items():
            if name.startswith(f"{file}::") and "growth" not in row:
                middle, spread = ratio(row)
                cells = [
                    name.split("::test_")[1],
                    seconds(row.get("ours_s")),
                    row.get("other", ""),
                    seconds(row.get("other_s")),
                    f"{middle} ({spread})" if middle else "",
                    more(row),
                ]
                parts.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts).rstrip()


def growth_text(rows: Rows, directory: Path) -> str:
    parts = []
    for name, row in rows.items():
        if "growth" in row:
            growth = scaling.Growth(**row["growth"])
            plot = f"scaling_{name.split('[')[1].rstrip(']')}.png"
            scaling.plot(growth, directory / plot)
            parts += [scaling.table(growth), f"![{growth.title}]({plot})", ""]
    return "\n".join(parts).rstrip()


def put(text: str, name: str, content: str, *, update: bool = False) -> str:
    """Replace what is between the marks of that name, where they are; `update`: only lines that are measured again."""
    pattern = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end of {name} -->)", re.DOTALL)

    def replaced(found: re.Match[str]) -> str:
        new = updated(found[2].strip(), content) if update else content
        return f"{found[1]}\n{new}\n\n{found[3]}"

    return pattern.sub(replaced, text)


def updated(old: str, new: str) -> str:
    """The old tables: lines of the same heading and first cell as new ones replaced, and what is only new added."""
    if not old:
        return new
    measured: dict[tuple[str, str], list[str]] = {}
    for key, line in _lines(new):
        if key is not None and "| not measured |" not in line and any(map(str.strip, line.split("|")[2:])):
            measured.setdefault(key, []).append(line)
    present = Counter(key for key, _ in _lines(old))
    added: dict[str, list[str]] = {}
    for key in [key for key in measured if key not in present]:
        added.setdefault(key[0], []).extend(measured.pop(key))
    for key, lines in measured.items():
        if present[key] != len(lines):
            raise SystemExit(
                f"{key[1]}: {present[key]} lines in the page, {len(lines)} measured; report the whole suite"
            )
    kept = [(key, measured[key].pop(0) if key in measured else line) for key, line in _lines(old)]
    last = {key[0]: number for number, (key, _) in enumerate(kept) if key is not None}
    for heading, number in sorted(last.items(), key=lambda item: -item[1]):
        kept[number + 1 : number + 1] = [(None, line) for line in added.pop(heading, [])]
    if added:
        raise SystemExit(f"the page has no table under {', '.join(added)}; report the whole suite")
    return "\n".join(line for _, line in kept)


def _lines(text: str) -> Iterator[tuple[tuple[str, str] | None, str]]:
    """Each line, with its heading and first cell where it is of a table."""
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line
        yield (heading, line.split("|")[1].strip()) if line.startswith("|") else None, line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="+", type=Path)
    parser.add_argument("--into", nargs="+", type=Path, required=True)
    parser.add_argument("--update", action="store_true", help="keep the lines of what these figures do not have")
    arguments = parser.parse_args()
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.figures]
    rows: Rows = {row["name"]: row for run in runs for row in run["rows"]}
    pictures = arguments.into[0].parent
    parts = {
        "ten": ten_text(rows, limits=True),
        "in short": ten_text(rows, limits=False),
        "limits": limits_text(rows),
        "machine": machine_text([run["machine"] for run in runs]),
        "targets": targets_text(rows),
        "figures": figures_text(rows),
        "growth": growth_text(rows, pictures),
        "auto": auto_text(rows),
    }
    if all(name in rows for _, name, _ in TEN):
        plot_ten(rows, pictures / "performance.png")
    pages = {page: page.read_text(encoding="utf-8") for page in arguments.into}
    for name, content in parts.items():
        if not any(f"<!-- {name} -->" in text for text in pages.values()):
            raise SystemExit(f"no page has marks <!-- {name} --> and <!-- end of {name} -->")
        if not arguments.update or name not in ("machine", "growth"):
            pages = {page: put(text, name, content, update=arguments.update) for page, text in pages.items()}
    for page, text in pages.items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
