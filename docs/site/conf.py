"""The documentation as a site: `make docs` writes build/site. Nothing is fetched, neither to build it nor to read it.

Sphinx reads a copy of the pages in build/docs, because some of them lie outside docs/ (README, infra/) and the
reference is generated beside them. Modules are found on the disk and read as text, so one that is moved needs no
change here, and the site builds without torch.
"""

import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "build" / "docs"
PACKAGES = ("hbaf", "feature_store", "flows")
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "infra/README.md": "infra.md",
    "infra/RUNBOOK.md": "runbook.md",
    "infra/UPGRADE.md": "upgrade.md",
    "docs/search.md": "searching.md",  # search.html is Sphinx's own page
}
NAVIGATION = {
    "Data": ("calls", "labelling", "corpora", "bad-input", "representations", "store"),
    "Models": ("method", "searching", "promotion", "own-systems", "comparison"),
    "Operation": ("serving", "scheduled-scoring", "monitoring", "operations", "privacy", "infra", "runbook", "upgrade"),
    "Results": ("results", "findings", "benchmarks"),
    "Reference": ("settings", *(f"reference/{package}/index" for package in PACKAGES)),
    "Project": ("architecture", "contributing", "changelog", "security", "code-of-conduct"),
}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
CODE = re.compile(r"(`+[^`]*`+)")
ESCAPED = re.compile(r"[|\\]|\*(?! )|(?<=\w)_(?!\w)")  # a bare _ at the end of a word would be a reference
COLUMNS = re.compile(r"^ *\S+ {3,}\S", re.MULTILINE)
FETCHED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["']https?:[^>]*>""")

project = "hbaf"
project_copyright = "the hbaf authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.napoleon", "autoapi.extension"]
root_doc = "index"
default_role = "code"  # docstrings write `code` as Markdown does
myst_heading_anchors = 4  # links to headings, as the repository's web page makes them
html_theme = "furo"
html_title = "hbaf"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_favicon = str(Path(__file__).parent / "static" / "favicon.svg")
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
napoleon_use_ivar = True  # attributes that a docstring describes are listed once
autoapi_dirs = [str(ROOT / package) for package in PACKAGES]
autoapi_root = "reference"
autoapi_add_toctree_entry = False
autoapi_options = ["members", "undoc-members", "show-module-summary"]
autoapi_member_order = "bysource"
autoapi_python_class_content = "both"
suppress_warnings = [
    "ref.python",  # several classes have a member `rows`; a bare mention links to none of them
    "autoapi.python_import_resolution",  # names that a module only passes on are documented where they are defined
]


def assemble() -> None:
    """Copies every page to build/docs; links between files of the repository become links between pages."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    pages = {f"docs/{path.name}": path.name for path in (ROOT / "docs").glob("*.md")} | PAGES
    for path, name in pages.items():

        def target(match: re.Match[str], here: str = path) -> str:
            linked = posixpath.normpath(posixpath.join(posixpath.dirname(here), match[1]))
            if linked.startswith(PACKAGES) and linked.endswith(".py") and (ROOT / linked).is_file():
                return f"reference/{linked.removesuffix('.py').removesuffix('/__init__')}/index.rst"
            return pages.get(linked, linked.removeprefix("docs/"))

        (SOURCE / name).write_text(LINK.sub(target, (ROOT / path).read_text("utf-8")), "utf-8")
    for folder in ("images", "examples", "notebooks"):
        shutil.copytree(ROOT / "docs" / folder, SOURCE / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (SOURCE / "index.md").open("a", encoding="utf-8") as index:
        for caption, names in NAVIGATION.items():
            index.write(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n")


def plain_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Outside `code`, the signs * | _ and backslash are literal; a paragraph in columns stays as it is."""
    shown: list[str] = []
    for paragraph in "\n".join(lines).split("\n\n"):
        if COLUMNS.search(paragraph):
            shown += ["::", "", *(f"    {line}" for line in paragraph.splitlines()), ""]
            continue
        for line in paragraph.splitlines():
            parts = CODE.split(line)
            parts[::2] = [ESCAPED.sub(r"\\\g<0>", part) for part in parts[::2]]
            shown.append("".join(parts))
        shown.append("")
    lines[:] = shown


def refuse_foreign_files(app: Sphinx, error: Exception | None) -> None:
    """Fails where a page would fetch a script, style or picture from another host when it is read."""
    for page in [] if error else sorted(Path(app.outdir).rglob("*.html")):
        if found := FETCHED.search(page.read_text("utf-8")):
            raise ExtensionError(f"{page}: fetches from another host: {found[0]}. Put the file under docs/.")


def setup(app: Sphinx) -> None:
    """Sphinx calls it once, before it reads a page."""
    assemble()
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)  # before napoleon at 500
    app.connect("build-finished", refuse_foreign_files)
