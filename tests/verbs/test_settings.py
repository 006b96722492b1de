"""Settings one can find: the list of them, its page in the documentation, and what a wrong one is answered with."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

import hbaf.parameters
from flows.train_hbaf import train_hbaf
from hbaf.cli import main
from hbaf.inbox.source import SourceParameters
from hbaf.parameters import RECIPES, STAGES, CorpusParameters, ModelParameters, Parameters, Settings, TrainingParameters
from hbaf.settings import page, settings_of

ROOT = Path(__file__).parents[2]


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and what was printed."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out + printed.err


def test_every_setting_of_every_stage_is_listed_with_a_meaning() -> None:
    listed = {setting.name: setting for setting in settings_of(STAGES, RECIPES)}
    assert {*Settings._fields, "corpus", "validation", "finetune", "promotion", "monitor"} <= {*STAGES}
    for stage, kind in STAGES.items():
        for name in kind.model_fields:
            assert any(other == f"{stage}.{name}" or other.startswith(f"{stage}.{name}.") for other in listed), name
    assert "corpus.iemocap.classes" in listed
    for setting in listed.values():
        assert all((setting.meaning.endswith("."), setting.allowed, setting.default)), setting.name
    kinds = {kind for kind in vars(hbaf.parameters).values() if isinstance(kind, type) and issubclass(kind, Parameters)}
    inner = {Parameters, hbaf.parameters.IemocapParameters, hbaf.parameters.LimitParameters}
    assert kinds - inner == {*STAGES.values()}


def test_what_is_shown_of_a_setting() -> None:
    listed = {setting.name: setting for setting in settings_of(STAGES, RECIPES)}
    assert (listed["model.tau"].symbol, listed["model.tau"].default) == ("τ", "0.1")
    assert listed["model.tau"].allowed == "number above 0; searched: 0.02 to 1, logarithmic"
    assert listed["model.dim"].default == "512 (demo: 96)"
    assert listed["model.anchor"].allowed == "`equation` or `prose`"
    assert listed["training.clip_norm"].allowed == "number above 0 or `null`"
    assert listed["corpus.bad_share"].allowed == "number from 0 to 1"
    assert listed["finetune.dropout"].allowed == "number 0 or more and below 1"


def test_the_page_of_the_documentation_is_the_list() -> None:
    shown = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert shown == page(settings_of(STAGES, RECIPES)), "run `hbaf settings --write docs/settings.md`"


def test_the_verb_lists_all_a_stage_or_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, shown = answer(capsys, "settings", "model.tau")
    assert (code, shown.splitlines()[0].split(";")[0]) == (0, "model.tau (τ) = 0.1")
    code, shown = answer(capsys, "settings", "promotion", "--json")
    assert {one["name"].split(".")[0] for one in json.loads(shown)} == {"promotion"}
    code, shown = answer(capsys, "settings")
    assert code == 0
    assert all(f"\n{stage}." in f"\n{shown}" for stage in STAGES)
    code, shown = answer(capsys, "settings", "model.tua")
    assert code == 2
    assert "Did you mean model.tau?" in shown
    code, _ = answer(capsys, "settings", "--write", str(tmp_path / "settings.md"))
    assert "## model" in (tmp_path / "settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("model.tua=0.1", ("model.tua: there is no such setting. Did you mean model.tau?", "hbaf settings model")),
        ("training.tau=0.1", ("training.tau: there is no such setting. Did you mean model.tau?",)),
        ("modle.tau=0.1", ("modle.tau", "corpus, features, model, training", "Did you mean model.tau?")),
        ("tau=0.1", ("Did you mean model.tau?",)),
        ("corpus.iemocap.clases=4", ("Did you mean corpus.iemocap.classes?",)),
        ("model.tau=-1", ("model.tau: -1 is not allowed; allowed: number above 0",)),
        ("model.heads=many", ("model.heads: many is not allowed; allowed: whole number 1 or more",)),
        ("model.anchor=proze", ("model.anchor: proze is not allowed; allowed: `equation` or `prose`",)),
        ("corpus.split_shares=[1,2,3]", ("corpus.split_shares: 2 is not allowed; allowed: [number from 0 to 1, ",)),
        ("corpus.channels.agent=-1", ("corpus.channels: -1 is not allowed",)),
        ("features.text=foo", ("no extractor 'foo'", "minilm, roberta-large", "`encoder:ID` (text)", "hub id")),
        ("features.text=mfcc", ("features.text: mfcc reads audio; its setting is `features.audio`",)),
        ("features.text=minlm", ("Did you mean minilm?",)),
    ],
)
def test_a_wrong_setting_is_one_message(
    capsys: pytest.CaptureFixture[str], home: Path, change: str, parts: tuple[str, ...]
) -> None:
    code, shown = answer(capsys, "train", "example", "--set", change)
    assert code == 2
    assert len(shown.splitlines()) == 1
    assert all(part in shown for part in parts), shown
    assert not any(word in shown for word in ("Traceback", "http", "pydantic", "type=", "ModelParameters"))
    assert not (home / "corpora").exists()


def test_several_wrong_settings_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = answer(capsys, "train", "example", "--set", "model.tau=-1", "--set", "model.heads=0")
    assert (code, len(shown.splitlines())) == (2, 2)


def test_options_that_are_settings_are_answered_alike(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = answer(capsys, "search", "example", "--trials", "-1")
    assert (code, shown) == (2, "hbaf: search.trials: -1 is not allowed; allowed: whole number 0 or more.\n")


def test_the_form_of_a_flow_gives_the_same_answer() -> None:
    with pytest.raises(Exception, match=r"Did you mean model\.tau\?"):
        train_hbaf.validate_parameters({"model": {"tua": 0.1}})
    with pytest.raises(Exception, match="-1 is not allowed; allowed: number above 0"):
        train_hbaf.validate_parameters({"model": {"tau": -1}})


def test_settings_without_a_stage_name_their_own() -> None:
    with pytest.raises(ValidationError, match="it is needed: text"):
        SourceParameters()  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="Did you mean quiet_minutes"):
        SourceParameters(url="calls", quiet_minuts=3)  # type: ignore[call-arg]


def test_numbers_are_names_where_text_is_asked_for() -> None:
    assert CorpusParameters(name=2024).name == "2024"  # type: ignore[arg-type]
    assert ModelParameters(dim=64).model_fields_set == {"dim"}
    assert TrainingParameters.model_validate(TrainingParameters().model_dump()) == TrainingParameters()
