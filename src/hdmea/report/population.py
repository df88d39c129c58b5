"""The page of a population: its types with their responses and stability, mosaics, matches, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

import h5burst
from h5burst import durable, page

GENERATOR = "hdmea population"
PAGE, TRACES, SUMMARY = "index.html", "population.h5", "summary.json"
MAX_ROWS = 200
POINTS = 240  # of a drawn trace
WIDTH, HEIGHT = 240, 48
SECONDS_A_FRAME = 1 / 60
TABLES = ("types", "mosaics", "areas", "matches")


def is_population(directory: Path) -> bool:
    """True where `hdmea population` has written into a directory."""
    return all((directory / name).is_file() for name in (TRACES, SUMMARY, "cells.parquet"))


def write_population_page(directory: Path, output: Path | None = None, *, overwrite: bool = False) -> Path:
    """Write the page of the population in `directory`, from its tables; default `index.html` there.

    Raises `FileExistsError` for a file there that no population wrote.
    """
    path = output or directory / PAGE
    page.may_write(path, GENERATOR, overwrite)
    summary = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
    tables = {name: pl.read_parquet(directory / f"{name}.parquet") for name in TABLES}
    cells = pl.read_parquet(directory / "cells.parquet", columns=["recording", "group", "type", "soma_row", "soma_col"])
    n_recordings = cells["recording"].n_unique()
    title = f"{len(cells)} cells of {n_recordings} recording{'s' if n_recordings != 1 else ''}"
    left_out = "".join(f"<li>{escape(text)}</li>" for text in summary["warnings"]) or "<li>nothing</li>"
    sections = {
        "Types": _types(tables["types"], _responses(directory)) + _groups(cells),
        "Mosaics": _mosaics(cells, tables["mosaics"]) + _table(tables["mosaics"], "mosaics"),
        "Chip areas": _table(tables["areas"], "areas"),
        "The same cell in several recordings": _matches(tables["matches"]),
        "Left out": f"<ul>{left_out}</ul>",
    }
    body = "".join(f"<h2>{escape(name)}</h2>\n{content}\n" for name, content in sections.items())
    top = f"<header><h1>{escape(title)}</h1></header>"
    text = f"{page.head(title, GENERATOR)}<body>{top}\n<main>{body}</main></body></html>\n"
    with durable.replacing(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _responses(directory: Path) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """By stimulus and type the mean response (bins,) in Hz."""
    stored = h5burst.load(directory / TRACES, lazy=True)["types"]
    names = [str(name) for name in stored["names"]]
    means = {str(movie): np.asarray(values) for movie, values in stored["means"].items()}
    return {movie: dict(zip(names, values, strict=True)) for movie, values in means.items()}


# ---------------------------------------------------------------- types


def _types(types: pl.DataFrame, responses: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> str:
    if not len(types):
        return "<p>No group of cells is large enough to look for types.</p>"
    movies = list(responses)
    heads = ["type", "cells", "stability", *(movie.replace("_", " ") for movie in movies), "share of recordings' cells"]
    rows = []
    for row in types.sort(["group", "cells"], descending=[False, True]).iter_rows(named=True):
        doubt = "" if row["is_stable"] else " (no type)"
        if row["is_stable"] and row.get("is_small"):
            doubt = " (may be of another group)"
        said = f"{row['stability']:.2f}{doubt}"
        drawn = "".join(f"<td>{_trace(responses[movie].get(row['type']), row['type'], movie)}</td>" for movie in movies)
        share = _shares(row["recordings"], row["shares"], row["type"])
        rows.append(
            f'<tr><th scope="row">{escape(row["type"])}</th><td class="number">{row["cells"]}</td>'
            f'<td class="number">{said}</td>{drawn}<td>{share}</td></tr>'
        )
    stable = int(types["is_stable"].sum())
    return (
        f"<p>{stable} of {len(types)} are stable: each has a similarity (Jaccard) of at least 0.75 with a type of "
        "bootstrap samples, on average. A cluster below that is not a type. A type that only one recording has may be "
        "that recording, not a kind of cell; one of no more cells than the tests of selectivity let in falsely (5 % of "
        "a selective group) may be cells of another group.</p>"
        f"{page.table('Types', heads, rows, {'cells', 'stability'})}"
    )


def _trace(values: npt.NDArray[Any] | None, kind: str, movie: str) -> str:
    """The mean response as a line above 0 Hz."""
    if values is None or not len(values) or not np.isfinite(values).all():
        return '<span class="nothing">none</span>'
    step = max(1, len(values) // POINTS)
    short = values[: len(values) // step * step].reshape(-1, step).mean(axis=1)
    top = max(float(short.max()), 1e-9)
    x = np.linspace(0, WIDTH, len(short))
    y = HEIGHT - 2 - (HEIGHT - 14) * np.clip(short, 0, None) / top
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    said = f"{kind}, {movie}: up to {top:.0f} Hz in {len(values) * SECONDS_A_FRAME:.0f} s"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(said)}"><title>{escape(said)}</title>'
        f'<polyline class="line" points="{points}"/><text x="2" y="9">{top:.0f} Hz</text></svg>'
    )


def _shares(recordings: Sequence[str], shares: Sequence[float], kind: str) -> str:
    """A bar a recording."""
    width = WIDTH / max(len(shares), 1)
    top = max(*shares, 1e-9) if shares else 1e-9
    tall = [(HEIGHT - 12) * share / top for share in shares]
    bars = "".join(
        f'<rect class="bar" x="{n * width:.1f}" y="{HEIGHT - size:.1f}" width="{0.8 * width:.1f}" height="{size:.1f}">'
        f"<title>{escape(name)}: {share:.0%}</title></rect>"
        for n, (name, share, size) in enumerate(zip(recordings, shares, tall, strict=True))
    )
    said = f"{kind}: in {sum(share > 0 for share in shares)} of {len(shares)} recordings, at most {top:.0%}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(said)}">{bars}'
        f'<text x="2" y="9">{top:.0%}</text></svg>'
    )


def _groups(cells: pl.DataFrame) -> str:
    counts = cells.group_by("group", maintain_order=True).len().rename({"len": "cells"})
    return f"<h3>Groups</h3>{_table(counts, 'cells')}"


# ---------------------------------------------------------------- mosaics and matches


def _mosaics(cells: pl.DataFrame, mosaics: pl.DataFrame) -> str:
    """The six most regular mosaics as pictures."""
    figures = []
    for row in mosaics.sort("p_value_exclusion", "n", descending=[False, True]).head(6).iter_rows(named=True):
        group = cells.filter((pl.col("recording") == row["recording"]) & (pl.col("type") == row["type"]))
        dots = "".join(
            f'<circle class="bar" cx="{col:.1f}" cy="{r:.1f}" r="0.9"/>'
            for r, col in group.select("soma_row", "soma_col").iter_rows()
            if np.isfinite([r, col]).all()
        )
        regular = f"regularity {row['regularity']:.2f}, p = {row['p_value_exclusion']:.2g}"
        said = f"{row['type']} in {row['recording']}: {regular}"
        figures.append(
            f'<figure><svg class="chip" viewBox="-1 -1 66 66" role="img" aria-label="{escape(said)}">'
            f'<rect class="axis" x="-0.5" y="-0.5" width="65" height="65" stroke-width="0.2"/>{dots}</svg>'
            f"<figcaption>{escape(said)}</figcaption></figure>"
        )
    style = (
        "display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .8rem; margin-bottom: 1rem"
    )
    return f'<div style="{style}">{"".join(figures)}</div>' if figures else ""


def _matches(matches: pl.DataFrame) -> str:
    if not len(matches):
        return "<p>none asked for: <code>--chip name=recording,recording</code></p>"
    counts = matches.group_by("chip", "cell", maintain_order=True).len(name="recordings")
    table = counts.group_by("chip", "recordings").len(name="cells").sort("chip", "recordings")
    return f"{_table(table, 'matches')}<h3>Units</h3>{_table(matches, 'matches')}"


def _table(table: pl.DataFrame, name: str) -> str:
    if not len(table):
        return "<p>none</p>"
    rows = [f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in table.head(MAX_ROWS).iter_rows()]
    more = f"<p>{MAX_ROWS} of {len(table)} rows: {name}.parquet has all.</p>" if len(table) > MAX_ROWS else ""
    numeric = {column.replace("_", " ") for column, kind in table.schema.items() if kind.is_numeric()}
    return page.table(name, [column.replace("_", " ") for column in table.columns], rows, numeric) + more


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (
            f'<td class="number">{value:.3g}</td>' if isinstance(value, float) else f'<td class="number">{value}</td>'
        )
    return f"<td>{escape('' if value is None else str(value))}</td>"
