"""Pages opened in Chromium: what they ask for, what they complain of, and what axe-core says of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = Path("/usr/bin/chromium")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def launched() -> Iterator[Any]:
    """The browser; the test is skipped, with its reason, where it or its driver is not installed."""
    if not BROWSER.exists():
        pytest.skip(f"not a browser at {BROWSER}: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright (extra 'test')")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(BROWSER), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, file: Path) -> Iterator[Any]:
    """A page of a file; at the end there must be no error, and nothing asked for but the file."""
    context = browser.new_context(accept_downloads=True, viewport={"width": 1100, "height": 800})
    page, wrong = context.new_page(), []
    page.set_default_timeout(10_000)
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: wrong.append(r.url) if r.url.split(":")[0] not in ("file", "data", "blob") else None)
    page.goto(file.as_uri())
    yield page
    context.close()
    assert wrong == []


def go_to(page: Any, address: str) -> None:
    """Show a section, and wait until it is there."""
    page.evaluate("address => { location.hash = address; }", address)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


def accessibility_faults(page: Any) -> list[str]:
    """What axe-core calls serious or critical on the page as it is now shown: rule, and where."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe-core comes with axe-playwright-python")
    page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate("() => axe.run(document, { preload: false, resultTypes: ['violations'] })")
    assert len(found["passes"]) > 5  # it has looked
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['target']} {node['html'][:150]}" for one in serious for node in one["nodes"][:3]]


def fits(page: Any) -> bool:
    """Whether nothing is wider than the window."""
    found: bool = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return found


def data_of(file: Path, element: str) -> dict[str, Any]:
    """The values that a page embeds under a name."""
    text = file.read_text(encoding="utf-8")
    start = text.index(f'id="{element}">') + len(f'id="{element}">')
    found: dict[str, Any] = json.loads(text[start : text.index("</script>", start)])
    return found


def downloaded(page: Any, button: str) -> tuple[str, list[dict[str, str]]]:
    """The name and the rows of the CSV that a button gives."""
    with page.expect_download() as waiting:
        page.locator(button).click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    return waiting.value.suggested_filename, list(csv.DictReader(io.StringIO(text)))
