"""`hbaf forget` reaches labels: those about somebody go, an annotator's name goes and the labels stay."""

from pathlib import Path

import pytest

from hbaf.cli import main
from hbaf.corpus.annotations import Annotation, add_annotations, read_annotations
from hbaf.privacy.forget import ForgetError, forget
from hbaf.privacy.retention import apply_retention

GIVEN = [
    Annotation("calls/a17/0", "joy", "Markerann", "2020-01-01", "markerann.csv", "x", "Carl", "markernote"),
    Annotation("calls/a17/1", "joy", "Bob", "2020-01-01", "bob.csv", "x", "Dora"),
    Annotation("calls/b2/0", "joy", "Markerann", "2020-01-01", "markerann.csv", "x", "Carl"),
]


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    add_annotations("calls", GIVEN)


@pytest.mark.parametrize(
    ("name", "kind", "left"),
    [("a17", "conversation", 1), ("calls/b2", None, 2), ("Carl", "speaker", 1), ("calls", "corpus", 0)],
)
def test_labels_about_somebody_go(name: str, kind: str | None, left: int, home: Path) -> None:
    receipt = forget(name, kind=kind)  # type: ignore[arg-type]
    assert receipt.labels == 3 - left
    assert len(read_annotations("calls")) == left
    assert (home / "labels" / "calls.jsonl").exists() == bool(left)


def test_an_annotator_goes_and_the_labels_stay(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["forget", "Markerann"])
    assert ended.value.code == 0
    assert "2 labels that people gave, which stay without the name" in capsys.readouterr().out
    assert "marker" not in (home / "labels" / "calls.jsonl").read_text().lower()
    kept = read_annotations("calls")
    assert [one.emotion for one in kept] == ["joy"] * 3
    assert len({one.annotator for one in kept}) == 2
    assert all("marker" not in file.read_text().lower() for file in (home / "receipts").iterdir())
    with pytest.raises(ForgetError, match="no annotator of that name"):
        forget("Markerann", kind="annotator")


def test_age_alone_does_not_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person did by hand cannot be made again."""
    monkeypatch.setenv("HBAF_RETENTION", "90d")
    apply_retention()
    assert len(read_annotations("calls")) == 3
