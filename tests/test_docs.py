"""The documentation keeps its promises: examples run, links lead somewhere, the site is made, lists are complete."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import h5burst
import hdmea
import scpstore
from hdmea import plot
from support.browser import go_to, launched, opened
from support.docs_examples import console_commands, python_program, run_examples

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TOP_LEVEL = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]

# ---------------------------------------------------------------- examples

RUN_HERE = (
    *("batch", "cite", "extending", "first_recording", "index", "playlists", "report"),
    *("resume_and_repair", "stimulus_configs"),
    *("migrate_scptensor", "transactions", "auto", "history"),
    *("edit_other_files", "instead_of_swmr", "missing_values"),
)
RUN_ELSEWHERE = {  # page: the test that also looks at what it prints
    "bridges": "hdmea/bridges/test_docs_bridges.py",
    "engine": "h5burst/test_docs_engine.py",
    "geometry": "hdmea/geometry/test_docs_geometry.py",
    "h5ad": "h5burst/anndata/test_h5ad_docs.py",
    "measures": "hdmea/features/test_docs_measures.py",
    "memory": "hdmea/session/test_memory_budget.py",
    "migrate": "hdmea/test_docs_migrate.py",
    "pipeline_explained": "hdmea/test_docs_pipeline.py",
    "population": "hdmea/population/test_whole_run.py",
    "scptensor": "scpstore/test_docs.py",
    "simulate": "hdmea/simulate/test_recording.py",
}


@pytest.mark.parametrize("page", RUN_HERE)
def test_examples_run(tmp_path: Path, page: str) -> None:
    run_examples(DOCS / f"{page}.md", tmp_path, timeout_s=280)


def test_the_example_of_real_recordings_runs(tmp_path: Path, test_data: Path) -> None:
    printed = run_examples(DOCS / "waves.md", tmp_path, timeout_s=280)
    assert "520 units, 1800 s" in printed


def test_every_page_with_examples_is_run_by_one_test() -> None:
    with_examples = {page.relative_to(DOCS).parts[0].removesuffix(".md") for page in PAGES if has_examples(page)}
    assert with_examples == {*RUN_HERE, *RUN_ELSEWHERE, "waves"}
    assert not set(RUN_HERE) & set(RUN_ELSEWHERE)
    other_releases = (ROOT / ".ci" / "versions").read_text(encoding="utf-8")
    for page, test in RUN_ELSEWHERE.items():
        assert f"tests/{test}" in other_releases
        source = (ROOT / "tests" / test).read_text(encoding="utf-8")
        assert "run_examples(" in source
        assert f"{page}.md" in source or page == "bridges"


def has_examples(page: Path) -> bool:
    text = page.read_text(encoding="utf-8")
    return bool(python_program(text).strip() or console_commands(text))


# ---------------------------------------------------------------- what the site shows


@pytest.mark.parametrize("page", [*PAGES, *TOP_LEVEL], ids=lambda page: page.name)
def test_lists_and_tables_are_shown_as_such(page: Path) -> None:
    """Markdown on the site wants an empty line before a list or table, and four spaces before an inner list."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    before = ""
    for line in text.splitlines():
        begins = re.match(r"[-*] |\d+\. |\|", line) and not re.match(r"\s|[-*] |\d+\. |\||#|$", before)
        assert not begins, line
        assert not re.match(r" {1,3}([-*] |\d+\. )", line), line
        before = line


# ---------------------------------------------------------------- links


def links_of(page: Path) -> Iterator[tuple[str, str]]:
    """Target and anchor of each link of a page that leads to a file or a heading, code aside."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target.partition("#")[0], target.partition("#")[2]


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as Markdown's table of contents makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = [re.sub(r"[`*]", "", title) for title in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)]
    ascii_only = [title.encode("ascii", "ignore").decode() for title in titles]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in ascii_only}


@pytest.mark.parametrize("page", [*TOP_LEVEL, *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links_of(page):
        file = (page.parent / target) if target else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or file.suffix != ".md" or anchor in anchors_of(file), (
            f"{page.name} links to {target}#{anchor}"
        )


# ---------------------------------------------------------------- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site; a warning is an error."""
    for needed in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(needed, reason="mkdocs is not installed: pip install '.[docs]'")
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(directory)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in PAGES:
        name = page.relative_to(DOCS).as_posix().removesuffix(".md").replace("README", "index")
        assert (site / f"{name}.html").is_file(), page.name
    start = (site / "index.html").read_text(encoding="utf-8")
    for title in ("Tutorials", "How-to", "Reference", "Explanation", "How to cite", "Contributing"):
        assert title in start


def test_the_site_asks_for_nothing_elsewhere(site: Path) -> None:
    loads = re.compile(
        r"""<(?:script|img|iframe)\b[^>]*\bsrc=["'](?:https?:)?//|<link\b[^>]*\bhref=["'](?:https?:)?//"""
    )
    for page in site.rglob("*.html"):
        assert not loads.search(page.read_text(encoding="utf-8")), page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:|@import", sheet.read_text(encoding="utf-8")), sheet.name


def test_pages_that_are_opened_from_disk_can_be_searched(site: Path) -> None:
    with launched() as browser, opened(browser, site / "index.html") as page:
        page.keyboard.press("s")
        page.keyboard.type("checkpoint")
        page.wait_for_selector(".md-search-result__item a")
        assert "checkpoint" in page.inner_text(".md-search-result__list").lower()


def test_commands_are_copied_without_a_prompt(site: Path) -> None:
    for page in site.rglob("*.html"):
        code = re.findall(r"<pre>.*?<code[^>]*>(.*?)</code></pre>", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        plain = [re.sub(r"<[^>]+>", "", one) for one in code]
        assert [one for one in plain if one.startswith("$ ")] == [], page.name
    shown = re.sub(r"<[^>]+>", "", (site / "first_recording.html").read_text(encoding="utf-8"))
    assert "\nhdmea run cells -o first --report\n" in shown


def test_what_commands_print_is_a_block_of_its_own() -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install '.[docs]'")
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    text = "a\n\n```console\n$ one\n$ two\nsaid\n```\n\nb\n"
    assert hooks.without_prompts(text) == "a\n\n```sh\none\ntwo\n```\n\n```text\nsaid\n```\n\nb\n"


def drawing_functions() -> set[str]:
    """The functions of the sources that draw a picture with matplotlib, whoever exports them."""
    sources = [path.read_text(encoding="utf-8") for path in Path(hdmea.__file__).parent.rglob("*.py")]
    return {name for text in sources for name in re.findall(r"^def (plot_\w+)\(", text, re.MULTILINE)}


def test_the_gallery_shows_every_picture(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "gallery.html").read_text(encoding="utf-8"))
    called = set(re.findall(r"hdmea\.[\w.]+\.(plot_\w+)\(", text))
    assert called == drawing_functions() > set(plot.__all__)
    names = sorted(path.name for path in (site / "images" / "gallery").glob("*.png"))
    assert len(names) > 2 * len(called)
    assert [name for name in names if "dark" in name] == [
        one.replace("light", "dark") for one in names if "light" in one
    ]
    assert f'src="images/gallery/{names[0]}#only-dark"' in (site / "gallery.html").read_text(encoding="utf-8")


def test_the_gallery_has_every_kind_of_page(site: Path) -> None:
    """Every program that signs a page has one there, and links between them lead somewhere."""
    packages = [Path(module.__file__ or "").parent for module in (hdmea, scpstore)]
    signs = {
        sign
        for package in packages
        for path in package.rglob("*.py")
        for sign in re.findall(r'^GENERATOR = "([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    examples = {path: path.read_text(encoding="utf-8") for path in (site / "examples").rglob("*.html")}
    signed = {sign for text in examples.values() for sign in signs if f'content="{sign}"' in text}
    assert signed == signs > {"hdmea population"}
    gallery = (site / "gallery.html").read_text(encoding="utf-8")
    for path, text in examples.items():
        place = path.relative_to(site).as_posix()
        assert f'src="{place}"' in gallery or place.startswith("examples/results/"), place
        for target in re.findall(r'href="([^"#:]+\.html)', text):
            assert (path.parent / target).is_file(), f"{place} links to {target}"


def test_the_gallery_has_a_page_of_its_recording(site: Path) -> None:
    with launched() as browser, opened(browser, site / "examples" / "recording.html") as page:
        go_to(page, "unit=0")
        assert page.locator("figure svg").count() > 5


def test_the_start_page_says_how_to_install(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    assert "pip install ." in re.sub(r"<[^>]+>", "", start).replace("\xa0", " ")
    for scheme, picture in (("light", "report.png"), ("dark", "report_dark.png")):
        assert f'src="images/{picture}#only-{scheme}"' in start
        assert (site / "images" / picture).is_file()
    assert 'href="installation.html"' in start


def test_the_page_of_installation_lists_every_extra() -> None:
    extras = re.search(
        r"\[project.optional-dependencies\]\n(.*?)\n\[", (ROOT / "pyproject.toml").read_text(), re.DOTALL
    )
    assert extras is not None
    names = set(re.findall(r"^([a-z]+) = \[", extras[1], flags=re.MULTILINE))
    listed = set(re.findall(r"^\| `([a-z]+)` \|", (DOCS / "installation.md").read_text("utf-8"), flags=re.MULTILINE))
    assert {"hpc", "neuro"} <= names
    assert names - listed == {"lint", "bench"}


@pytest.mark.parametrize(
    ("program", "package"), [("hdmea", "hdmea"), ("h5burst", "h5burst"), ("scptensor", "scpstore")]
)
def test_every_command_and_option_is_in_the_reference(site: Path, program: str, package: str) -> None:
    page = (site / "reference" / "commands" / f"{program}.html").read_text(encoding="utf-8")
    app = importlib.import_module(f"{package}.cli").app
    import typer

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined, unused-ignore]
    assert len(commands) >= 4
    for name, command in commands.items():
        assert f"{program} {name}" in page
        for option in (flag for one in command.params for flag in one.opts if flag.startswith("--")):
            assert option == "--help" or f"{option}<" in page or f"{option} " in page, f"{program} {name} {option}"


@pytest.mark.parametrize(
    ("page", "module"),
    [
        *(("h5burst", "h5burst"), ("hdmea_pipeline", "hdmea.pipeline"), ("hdmea_pipeline", "hdmea.io")),
        *(("hdmea_features", "hdmea.features"), ("hdmea_geometry", "hdmea.geometry"), ("hdmea_tools", "hdmea.plot")),
        ("hdmea_spontaneous", "hdmea.spontaneous"),
        *(("hdmea_tools", "hdmea.simulate"), ("scptensor", "scptensor"), ("scptensor", "scptensor.io")),
    ],
)
def test_every_public_name_is_in_the_reference(site: Path, page: str, module: str) -> None:
    text = (site / "reference" / "api" / f"{page}.html").read_text(encoding="utf-8")
    names = [name for name in importlib.import_module(module).__all__ if not name.startswith("__")]
    assert [name for name in names if not re.search(rf"[>.]{name}\b", text)] == []


def test_parameters_of_one_entry_have_their_own_defaults_in_the_reference() -> None:
    griffe = pytest.importorskip("griffe", reason="griffe comes with mkdocs: pip install '.[docs]'")
    extensions = griffe.load_extensions(str(DOCS / "griffe_parameters.py"))
    function = inspect.unwrap(plot.plot_autocorrelogram)
    module = griffe.load(
        function.__module__, search_paths=[str(ROOT / "src")], extensions=extensions, docstring_parser="numpy"
    )
    sections = module[function.__name__].docstring.parsed
    (parameters,) = (one.value for one in sections if one.kind.value == "parameters")
    shown = {one.name: one.default for one in parameters if one.default is not None}
    real = inspect.signature(function).parameters
    assert shown == {name: repr(real[name].default) for name in shown}
    assert {"longest_ms", "bin_ms"} <= set(shown)


# ---------------------------------------------------------------- lists that must be complete


def test_every_environment_variable_is_listed() -> None:
    listed = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`", (DOCS / "environment.md").read_text(encoding="utf-8")))
    product = (
        r'["`](H5BURST_[A-Z_]+|HDMEA_[A-Z_]+|NUMBA_CACHE_DIR|HDF5_USE_FILE_LOCKING|(?:SLURM|PBS|SGE)_[A-Z_]+)["`=]'
    )
    tests = r'"(H5BURST_[A-Z_]+|HYPOTHESIS_PROFILE)"'
    read = variables(product, [*(ROOT / "src").rglob("*.py"), ROOT / "setup.py"])
    read |= variables(tests, [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
    assert "H5BURST_SCRATCH" in read
    assert "SLURM_CPUS_PER_TASK" in read
    assert read - listed == set()
    assert listed - read == {"HDF5_PLUGIN_PATH"}  # which libhdf5 reads


def variables(pattern: str, files: list[Path]) -> set[str]:
    texts = [file.read_text(encoding="utf-8") for file in files if file != Path(__file__)]
    return {name for text in texts for name in re.findall(pattern, text)}


def exceptions_of(*modules: str) -> set[str]:
    """The exceptions and warnings that modules export; those that they define, where they export nothing by name."""
    found = set()
    for module in map(importlib.import_module, modules):
        names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
        items = {name: getattr(module, name) for name in names}
        found |= {name for name, item in items.items() if isinstance(item, type) and issubclass(item, BaseException)}
    return found


def test_every_error_is_listed() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    sections = {title: part for title, _, part in (part.partition("\n") for part in text.split("\n## ")[1:])}
    first_cells = {
        title: set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", part, flags=re.MULTILINE))))
        for title, part in sections.items()
    }
    assert first_cells["hdmea"] == exceptions_of("hdmea.utils.exceptions") | {
        "RecordingLockedError",
        "MissingExtraError",
    }
    assert first_cells["scptensor"] == exceptions_of("scptensor", "scptensor.core", "scptensor.io")
    assert exceptions_of("h5burst") <= first_cells["h5burst"]


def test_errors_are_where_the_page_says() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    places = re.findall(r"^\| `(\w+)` \| `(h5burst[\w.]*)` \|", text, flags=re.MULTILINE)
    places += re.findall(r"^\| `(\w+)` \|.*\(`(hdmea[\w.]+)`\)", text, flags=re.MULTILINE)
    assert len(places) >= 7
    for name, module in places:
        parent, _, last = module.rpartition(".")
        home = getattr(h5burst, last, None) if parent == "h5burst" else None
        assert issubclass(getattr(home or importlib.import_module(module), name), BaseException)


def test_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    fields = dict(re.findall(r"^([a-z-]+): *(.*)$", text, flags=re.MULTILINE))
    assert fields["version"] == h5burst.__version__
    assert f"Version {h5burst.__version__}." in (DOCS / "cite.md").read_text(encoding="utf-8")
    assert fields["cff-version"] == "1.2.0"
    assert fields["license"] == "BSD-3-Clause"
    assert {"message", "title", "authors", "abstract", "type"} <= set(fields)
