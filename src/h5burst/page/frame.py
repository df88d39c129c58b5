"""The frame of a page, and how values get into it."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

# Nothing is loaded from anywhere; the page's own scripts and styles are in it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
SCRIPTS = ("draw.js", "sheet.js", "pages.js")


def head(title: str, generator: str, renewed_s: int | None = None) -> str:
    """The beginning of an HTML file, up to its body; generator: the command that writes it.

    renewed_s: seconds after which a browser loads it anew; None: it does not.
    """
    renewed = "" if renewed_s is None else f'<meta http-equiv="refresh" content="{renewed_s}">\n'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{_mark(generator)}\n{renewed}'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_asset('h5burst.page', 'page.css')}</style></head>\n"
    )


def begin(title: str, generator: str, sections: Sequence[tuple[str, str]]) -> str:
    """The beginning of a page with sections: (address, name) each, in the order of the navigation."""
    links = "".join(f'<a href="#{escape(at)}">{escape(name)}</a>' for at, name in sections)
    return (
        f'{head(title, generator)}<body>\n<a class="skip" href="#main">Skip to the content</a>\n'
        f'<header><h1>{escape(title)}</h1>\n<nav aria-label="Sections">{links}</nav></header>\n'
        '<main id="main" tabindex="-1"><noscript>This page draws its pictures with a script, which is switched off '
        "here.</noscript></main>\n"
    )


def data_element(name: str, content: Any) -> str:
    """Values as JSON in an element that the page's script reads; no text in it can end the element.

    Raises `ValueError` for a number that is not finite.
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    # A lone surrogate cannot be written as UTF-8.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def end(package: str, *scripts: str) -> str:
    """The end of a page: the scripts that all pages have, then those that are stored in the writer's package."""
    texts = [_asset("h5burst.page", name) for name in SCRIPTS] + [_asset(package, name) for name in scripts]
    return "".join(f"<script>\n{text}</script>\n" for text in texts) + "</body></html>\n"


def is_page(path: Path, generator: str) -> bool:
    """True where a file is a page that this command wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _mark(generator).encode() in file.read(4096)


def may_write(path: Path, generator: str, overwrite: bool) -> None:
    """Raise `FileExistsError` for a file that this command did not write, unless it may be replaced."""
    if path.exists() and not overwrite and not is_page(path, generator):
        raise FileExistsError(f"{path} exists and is not a report: give another output, or overwrite")


def table(label: str, heads: Sequence[str], rows: Sequence[str], numeric: Collection[str]) -> str:
    """A table of rows that are HTML already; the heads of numeric columns stand above their numbers, on the right."""
    number = ' class="number"'
    head_cells = "".join(f'<th scope="col"{number if text in numeric else ""}>{escape(text)}</th>' for text in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table><thead><tr>{head_cells}</tr></thead>\n"
        f"<tbody>{chr(10).join(rows)}</tbody></table></div>"
    )


def packed(values: Any, dtype: str) -> str:
    """An array's bytes as base64 text, for the page's `unpack`; dtype: "u1", "i1", "<u2" or "<u4"."""
    return base64.b64encode(np.ascontiguousarray(values, np.dtype(dtype)).tobytes()).decode("ascii")


def finite_numbers(values: Any, digits: int = 7) -> list[float | None]:
    """Numbers with so many significant digits, flat; None for what is not finite."""
    flat = np.asarray(values, np.float64).ravel().tolist()
    return [float(f"{one:.{digits}g}") if np.isfinite(one) else None for one in flat]


def _mark(generator: str) -> str:
    return f'<meta name="generator" content="{escape(generator)}">'


def _asset(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")
