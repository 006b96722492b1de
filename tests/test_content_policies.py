"""Every page that hbaf writes says what it may load: nothing from anywhere."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Pages of these templates extend one that has the policy; the readers named here read other people's XML.
READS = {"hbaf/corpus/text/transcripts/annotations.py"}


def test_every_file_that_makes_a_page_gives_it_a_policy() -> None:
    makers = []
    for folder in ("hbaf", "flows", "infra"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            strings = [
                n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)
            ]
            if any("<!doctype html" in string.lower() or "<html" in string.lower() for string in strings):
                makers.append((path.relative_to(ROOT).as_posix(), "Content-Security-Policy" in text))
    missing = [name for name, has in makers if not has and name not in READS]
    assert missing == []
    assert len([name for name, has in makers if has]) >= 2  # validation, plots of a search


def test_every_template_has_it_or_extends_one_that_has() -> None:
    templates = list((ROOT / "hbaf" / "report" / "templates").glob("*.html"))
    assert templates
    for template in templates:
        text = template.read_text()
        assert "Content-Security-Policy" in text or '{% extends "report_base.html" %}' in text, template.name
