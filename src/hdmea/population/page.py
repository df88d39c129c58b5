"""The page of a population: its types with their stability, mosaics, matches, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from h5burst import durable, page

GENERATOR = "hdmea population"
MOST_ROWS = 200
TITLES = {
    "types": "Types, each with its stability: below 0.75 it is none",
    "mosaics": "Mosaics, lengths in electrodes",
    "matches": "The same cell in several recordings",
}


def write_page(path: Path, title: str, warnings: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Write the page; warnings: what was left out. `FileExistsError` for a file there that no population wrote."""
    page.may_write(path, GENERATOR, False)
    said = "".join(f"<li>{escape(text)}</li>" for text in warnings) or "<li>nothing</li>"
    body = "".join(_section(name, TITLES[name], tables[name]) for name in TITLES)
    text = (
        f"{page.head(title, GENERATOR)}<body><header><h1>{escape(title)}</h1></header>\n<main>"
        f"<h2>Left out</h2><ul>{said}</ul>{body}</main></body></html>\n"
    )
    with durable.replacing(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _section(name: str, title: str, table: pl.DataFrame) -> str:
    if not len(table):
        return f"<h2>{escape(title)}</h2><p>none</p>"
    heads = "".join(f'<th scope="col">{escape(column.replace("_", " "))}</th>' for column in table.columns)
    rows = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>\n" for row in table.head(MOST_ROWS).iter_rows())
    more = f"<p>{MOST_ROWS} of {len(table)} rows: {name}.parquet has all.</p>" if len(table) > MOST_ROWS else ""
    return (
        f'<h2>{escape(title)}</h2><div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"><table>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>{more}"
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.3g}</td>'
    if isinstance(value, list):
        return f"<td>{escape(', '.join(f'{one:.0%}' if isinstance(one, float) else str(one) for one in value))}</td>"
    return f"<td>{escape('' if value is None else str(value))}</td>"
