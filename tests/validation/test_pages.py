"""The HTML pages: what they say, what they never say, and that they load nothing."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.schema import Corpus, as_utterances
from hbaf.parameters import ValidationParameters
from hbaf.validation import ValidationFailed, validate
from hbaf.validation.rules import RULES

PARAMETERS = ValidationParameters()
PAGES = {"broken_rows.csv", "index.html", "utterances.html", "dialogues.html", "corpus.html"}
MARKERS = ("SECRETWORD", "SECRETNAME", "SECRETFILE", "SECRETSOURCE", "SECRETREASON", "SECRETLABEL", "SECRETROOT")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))


def private(dialogue_id: str = "d", corpus: str = "tiny") -> Corpus:
    """Breaks nearly every rule, with a marker in everything that is nobody's business."""
    rows = pd.DataFrame(
        {
            "corpus": corpus,
            "dialogue_id": [dialogue_id, dialogue_id, "e", "e"],
            "turn": [0, 2, 0, 1],
            "speaker": "SECRETNAME",
            "text": ["SECRETWORD is what he said", None, "SECRETWORD is what he said", "SECRETWORD"],
            "audio": ["SECRETFILE.wav"] * 3 + [None],
            "start": [0.0, 1.0, 2.0, None],
            "end": [0.0, 1.0, 2.0, None],
            "emotion": "SECRETLABEL",
            "source_id": "SECRETSOURCE",
            "text_problem": [None, "SECRETREASON", None, None],
            "audio_problem": [None, "SECRETREASON", None, None],
            "seconds": [600.0, None, 0.0, None],
            "loudness": [0.0, None, float("-inf"), None],
            "clipped": [1.0, None, 0.5, None],
        }
    )
    splits = pd.DataFrame({"dialogue_id": [dialogue_id, "e", "e"], "split": ["train", "test", "SECRETWORD"]})
    aside = pd.DataFrame({"row": ["SECRETFILE:1"], "rule": ["SECRETREASON"], "found": ["SECRETWORD"]})
    return Corpus(corpus, Path("/SECRETROOT"), as_utterances(rows), splits, ("joy",), aside)


def text_of(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_the_pages_lie_in_the_home_and_name_every_rule() -> None:
    result = validate(private(), PARAMETERS)
    assert result.docs is not None
    assert result.docs == Path(os.environ["HBAF_HOME"]) / "docs" / "tiny"
    assert {path.name for path in result.docs.iterdir()} == PAGES
    index = (result.docs / "index.html").read_text()
    assert all(rule.name in index for rule in RULES)
    data_docs = "".join((result.docs / name).read_text() for name in PAGES - {"index.html", "broken_rows.csv"})
    assert "Expectation Validation Result" in data_docs
    assert all(f"{rule.name} ({rule.severity})" in data_docs for rule in result.rules if rule.evaluated)


def test_no_word_no_name_and_no_file_leaves_the_corpus(capfd: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from hbaf.validation.terminal import findings

    result = validate(private(), PARAMETERS)
    assert result.docs is not None
    assert len(result.failures("critical")) >= 8
    with pytest.raises(ValidationFailed) as failed:
        result.raise_if_failed()
    Console(width=300).print(findings(result, every_rule=True))
    out, err = capfd.readouterr()
    said = "\n".join([text_of(result.docs), repr(result), str(result.to_json_dict()), str(failed.value), out, err])
    assert "tiny/d/0" in said
    assert [marker for marker in MARKERS if marker in said] == []


def test_nothing_is_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("user", "temporary", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "here")
    result = validate(private(), PARAMETERS, docs_folder=tmp_path / "docs")
    assert result.docs == tmp_path / "docs"
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {f"docs/{name}" for name in PAGES} | {"home/hbaf-home.json"}


def test_a_second_run_replaces_the_pages_and_leaves_other_files(tmp_path: Path) -> None:
    validate(private(), PARAMETERS, docs_folder=tmp_path / "docs")
    (tmp_path / "docs" / "notes.txt").write_text("mine")
    validate(private(dialogue_id="d7"), PARAMETERS, docs_folder=tmp_path / "docs")
    assert {path.name for path in (tmp_path / "docs").iterdir()} == PAGES | {"notes.txt"}
    assert "tiny/d7/0" in text_of(tmp_path / "docs")
    assert "tiny/d/0" not in text_of(tmp_path / "docs")


def test_the_pages_load_nothing_and_run_nothing() -> None:
    result = validate(private(), PARAMETERS)
    assert result.docs is not None
    for path in result.docs.glob("*.html"):
        page = path.read_text()
        assert "default-src 'none'" in page
        assert not re.search(r"<(script|link|img|iframe)\b|https?://|@import|url\(", page), path.name
        targets = set(re.findall(r'href="([^"#]+)"', page))
        assert targets <= PAGES


def test_ids_that_may_name_somebody_are_shown_by_digests_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def pages_and_more() -> str:
        result = validate(private(dialogue_id="anna_smith"), PARAMETERS)
        assert result.docs is not None
        with pytest.raises(ValidationFailed) as failed:
            result.raise_if_failed()
        assert "tiny/anna_smith/0" in repr(result.rules), "the terminal names the rows"
        said = [text_of(result.docs), str(result.to_json_dict()), result.markdown(), result.html(), str(failed.value)]
        return "\n".join(said)

    closed = pages_and_more()
    assert "anna" not in closed
    assert re.search(r"tiny/~[0-9a-f]{10}/0", closed)
    assert "tiny/e/0" in closed, "an id that names nobody stays as it is"
    monkeypatch.setenv("HBAF_SHOW_NAMES", "1")
    assert "tiny/anna_smith/0" in pages_and_more()


def test_ids_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBAF_SHOW_NAMES", "1")
    result = validate(private(dialogue_id="<script>alert(1)</script><b>"), PARAMETERS)
    assert result.docs is not None
    pages = "".join(path.read_text() for path in result.docs.glob("*.html"))
    assert "<b>" not in pages
    assert "<script" not in pages
    assert "&lt;b&gt;" in pages


@pytest.mark.parametrize("name", ["../outside", "..", "a/b"])
def test_a_corpus_name_cannot_lead_out_of_the_docs(name: str) -> None:
    result = validate(private(corpus=name), PARAMETERS)
    assert result.docs is not None
    assert result.docs.resolve().parent == Path(os.environ["HBAF_HOME"]).resolve() / "docs"


def test_validation_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    validate(private(), PARAMETERS)
    assert capfd.readouterr() == ("", "")


def test_pages_can_be_left_out(tmp_path: Path) -> None:
    result = validate(private(), PARAMETERS, docs_folder=tmp_path / "docs", docs=False)
    assert result.docs is None
    assert not (tmp_path / "docs").exists()
    assert not (tmp_path / "home" / "docs").exists()
