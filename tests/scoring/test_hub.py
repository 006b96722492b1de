"""First scores without a label: a published classifier scores a corpus, says what it is, and can be measured."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hbaf import pipeline
from hbaf.corpus.schema import CorpusError
from hbaf.parameters import CorpusParameters
from hbaf.scoring.purpose import PurposeError
from hbaf.training.data import SplitError
from hbaf.training.evaluate import LabelsError
from tests.features.conftest import speech_classifier, text_classifier, tone  # noqa: F401  # fixtures


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    rows = ["dialogue,turn,speaker,text,audio,emotion"]
    for number in range(24):
        emotion = ("joy", "anger", "neutral")[number % 3]
        soundfile.write(folder / f"{number}.wav", tone(100 + 10 * number, 0.4), 16_000, subtype="PCM_16")
        text = "" if number == 5 else f"i am {'so ' * (number % 4)}happy {'not ' * (number % 3)}today"
        rows.append(f"d{number // 2},{number % 2},A,{text},{number}.wav,{emotion}")
    (folder / "calls.csv").write_text("\n".join(rows) + "\n")
    return folder


def source(calls: Path, **settings: object) -> CorpusParameters:
    return CorpusParameters(reader="folder", root=calls, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_rows_and_pages_say_that_it_was_not_trained_on_these_data(
    calls: Path, tmp_path: Path, modality: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue("text_classifier" if modality == "text" else "speech_classifier")
    found = pipeline.score(source(calls), purpose="research", model=f"hub:{folder}", output=tmp_path / "out").scores
    rows = pd.read_parquet(found.folder / "scores.parquet")
    assert len(rows) == 24
    assert rows["model_version"].str.startswith(f"hub:{folder}@").all()
    assert (rows["champion_from"] == "hub").all()
    unscored = rows[rows["status"] == "unscored"]
    assert len(unscored) == found.unscored == (1 if modality == "text" else 0)
    scored = rows[rows["status"] == "scored"]
    assert set(scored["label"]) <= {"joy", "anger", "neutral"}
    np.testing.assert_allclose(scored[["p_joy", "p_anger", "p_neutral"]].sum(axis=1), 1, atol=1e-5)
    assert (scored[f"{modality}_label"] == scored["label"]).all()
    assert scored["audio_label" if modality == "text" else "text_label"].isna().all()
    assert (scored["uncertain"].astype(bool) == (scored["confidence"] < 0.5)).all()
    pages = [found.folder / "report" / "index.html", *(found.folder / "report" / "conversations").glob("*.html")]
    assert len(pages) == 13
    assert all("was not trained on your data" in page.read_text() for page in pages)
    assert json.loads((found.folder / "scores.json").read_text())["trained_on"] == "not your data"


def test_its_labels_go_through_the_map_of_the_corpus(calls: Path, text_classifier: Path, tmp_path: Path) -> None:  # noqa: F811  # a fixture
    model = f"hub:{text_classifier}"
    plain, mapped = (
        pd.read_parquet(
            pipeline.score(
                source(calls, labels=labels), purpose="research", model=model, output=tmp_path / str(len(labels))
            ).scores.folder
            / "scores.parquet"
        ).dropna(subset=["label"])
        for labels in ({}, {"joy": "good", "neutral": "good"})
    )
    assert set(mapped["label"]) <= {"good", "anger"}
    np.testing.assert_allclose(mapped["p_good"], plain["p_joy"] + plain["p_neutral"], atol=1e-6)
    np.testing.assert_allclose(mapped["p_anger"], plain["p_anger"], atol=1e-6)
    with pytest.raises(CorpusError, match="1 emotions are left"):
        pipeline.score(
            source(calls, labels={"joy": "", "neutral": ""}), purpose="research", model=model, output=tmp_path / "none"
        )


def test_nobody_here_knows_its_licence(calls: Path, text_classifier: Path) -> None:  # noqa: F811  # a fixture
    with pytest.raises(PurposeError, match="is not known here"):
        pipeline.score(source(calls), purpose="commercial", model=f"hub:{text_classifier}")


def test_it_is_measured_like_any_model(calls: Path, text_classifier: Path, home: Path) -> None:  # noqa: F811  # a fixture
    model = f"hub:{text_classifier}"
    shares = {"split_shares": (0.4, 0.3, 0.3), "gate_share": 0.0}
    found = pipeline.evaluate(source(calls, **shares), model=model)
    assert found.split == "dev"
    assert found.predictions.emotions == ("joy", "anger", "neutral")
    assert not (home / "test-looks.jsonl").exists()
    final = pipeline.evaluate(source(calls, **shares), model=model, final=True, reason="how good is it?")
    assert set(final.predictions.dialogue_ids).isdisjoint(found.predictions.dialogue_ids)
    assert json.loads((home / "test-looks.jsonl").read_text().splitlines()[-1])["reason"] == "how good is it?"
    with pytest.raises(LabelsError, match=r"glee \(8\)"):
        pipeline.evaluate(source(_relabelled(calls), **shares), model=model)
    with pytest.raises(SplitError, match="no utterance of dev"):
        pipeline.evaluate(source(_without_words(calls), **shares), model=model)


def _relabelled(calls: Path) -> Path:
    table = pd.read_csv(calls / "calls.csv")
    table.assign(emotion=table["emotion"].replace("joy", "glee")).to_csv(calls / "calls.csv", index=False)
    return calls


def _without_words(calls: Path) -> Path:
    table = pd.read_csv(calls / "calls.csv")
    table.assign(emotion=table["emotion"].replace("glee", "joy"), text="").to_csv(calls / "calls.csv", index=False)
    return calls
