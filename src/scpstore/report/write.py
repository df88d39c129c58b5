"""A container, or a file that can be read as one, as a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from h5burst import durable, page
from h5burst.progress import reporting
from scpstore.core.structures import ScpContainer
from scpstore.io.formats import kind_of, read_any
from scpstore.report.gather import contents

GENERATOR = "scptensor report"
SECTIONS = (("overview", "Overview"), ("assay", "Assays"), ("samples", "Samples"), ("history", "History"))


def write_report(
    source: str | Path | ScpContainer, output: str | Path | None = None, *, overwrite: bool = False
) -> Path:
    """Write a container as one HTML page: assays, layers, what is missing, distributions, history.

    Parameters
    ----------
    source
        A container, or a file of any format that `scptensor convert` reads. Layers of containers' files are read a
        block at a time.
    output
        The page; default the file's name with `.html` beside it.
    overwrite
        Replace a file at `output` that no report wrote. A report is always replaced.

    Returns
    -------
    Path
        The page that was written.

    Raises
    ------
    FileNotFoundError, IOFormatError
        There is no such file, or it is none that can be read as a container.
    FileExistsError
        `output` is there, and is not a report.
    ValueError
        A container without `output`.

    Examples
    --------
    >>> from scpstore.report import write_report
    >>> write_report("cells.h5").name
    'cells.html'
    """
    if isinstance(source, ScpContainer):
        if output is None:
            raise ValueError("a container in memory has no file name: give the page's path as output")
        path, file, kind, container = Path(output), None, "container in memory", source
    else:
        file = Path(source)
        path = file.with_suffix(".html") if output is None else Path(output)
        kind, container = kind_of(file), read_any(file)
    page.may_write(path, GENERATOR, overwrite)
    with reporting("report") as show:
        content = contents(container, file, kind, _rows_of(container, show))
    with (
        durable.replacing(path, overwrite=True) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as text,
    ):
        text.write(page.begin(content["name"], GENERATOR, SECTIONS))
        text.write(page.data_element("container", content))
        text.write(page.end("scpstore.report", "page.js"))
    return path


def _rows_of(container: ScpContainer, show: Callable[[int, int], None] | None) -> Callable[[int], None]:
    """A function to tell rows that were gone through; `show` is told of how many."""
    done = 0
    rows = sum(2 * layer.shape[0] for assay in container.assays.values() for layer in assay.layers.values())

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if show is not None:
            show(done, rows)

    return tell
