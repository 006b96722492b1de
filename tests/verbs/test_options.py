"""What a source and single settings on the command line become."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from hbaf.verbs.options import SettingError, changes_of, corpus_parameters, settings


def test_sources() -> None:
    assert corpus_parameters("example", None).reader == "example"
    imported = corpus_parameters("imported/sdt", None)
    assert (imported.reader, imported.name) == ("imported", "sdt")
    assert corpus_parameters("calls", "a.csv").manifest == "a.csv"
    assert corpus_parameters("calls", None, "meld").reader == "meld"


def test_a_manifest_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("")
    found = corpus_parameters(str(tmp_path / "calls.csv"), None)
    assert (found.reader, found.root, found.manifest) == ("auto", tmp_path, "calls.csv")


def test_single_settings_reach_their_stage() -> None:
    changes = changes_of(["corpus.iemocap.classes=4", "corpus.name=mine", "model.tau=0.2"], ("corpus", "model"))
    assert changes == {"corpus": {"iemocap": {"classes": 4}, "name": "mine"}, "model": {"tau": 0.2}}
    found = corpus_parameters("release", None, changes=changes["corpus"])
    assert (found.iemocap.classes, found.name) == (4, "mine")


def test_a_run_ignores_no_setting() -> None:
    features, model, _ = settings("paper", ["corpus.name=mine", "features.audio=mfcc", "model.tau=0.2"])
    assert (features.audio, model.tau) == ("mfcc", 0.2)
    with pytest.raises(SettingError, match="validation"):
        settings("paper", ["validation.bad_share=0.1"])
    with pytest.raises(ValidationError, match="nmae"):
        corpus_parameters("calls", None, changes={"nmae": "mine"})


@pytest.mark.parametrize("bad", ["corpus", "corpus.=1", "name=1", "corpus.name", "weather.sun=1"])
def test_what_is_no_setting_is_told(bad: str) -> None:
    with pytest.raises(SettingError, match=r"STAGE\.NAME=VALUE"):
        changes_of([bad], ("corpus",))
