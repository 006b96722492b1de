"""What a source and single settings on the command line become."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from hbaf.corpus.read import parameters_of
from hbaf.verbs.options import CorpusOptions, SettingError, changes_of, settings


def test_sources() -> None:
    assert parameters_of("example").reader == "example"
    imported = parameters_of("imported/sdt")
    assert (imported.reader, imported.name) == ("imported", "sdt")
    assert CorpusOptions(manifest="a.csv").corpus("calls").manifest == "a.csv"
    assert CorpusOptions(reader="meld").corpus("calls").reader == "meld"


def test_a_manifest_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("")
    found = parameters_of(tmp_path / "calls.csv")
    assert (found.reader, found.root, found.manifest) == ("auto", tmp_path, "calls.csv")


def test_single_settings_reach_their_stage() -> None:
    changes = changes_of(["corpus.iemocap.classes=4", "corpus.name=mine", "model.tau=0.2"], ("corpus", "model"))
    assert changes == {"corpus": {"iemocap": {"classes": 4}, "name": "mine"}, "model": {"tau": 0.2}}
    found = parameters_of("release", changes["corpus"])
    assert (found.iemocap.classes, found.name) == (4, "mine")


def test_a_run_ignores_no_setting() -> None:
    features, model, _ = settings("paper", ["corpus.name=mine", "features.audio=mfcc", "model.tau=0.2"])
    assert (features.audio, model.tau) == ("mfcc", 0.2)
    with pytest.raises(SettingError, match="validation"):
        settings("paper", ["validation.bad_share=0.1"])
    with pytest.raises(ValidationError, match="nmae"):
        parameters_of("calls", {"nmae": "mine"})


def test_a_name_below_a_value_is_an_error() -> None:
    with pytest.raises(SettingError, match="tau has a value already, 1"):
        changes_of(["model.tau=1", "model.tau.x=2"], ("model",))


@pytest.mark.parametrize("bad", ["corpus", "corpus.=1", "name=1", "corpus.name", "weather.sun=1"])
def test_what_is_no_setting_is_told(bad: str) -> None:
    with pytest.raises(SettingError, match=r"STAGE\.NAME=VALUE"):
        changes_of([bad], ("corpus",))
