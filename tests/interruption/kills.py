"""Stages killed with -9 at random moments and started again, against the same stages left alone.

    python tests/interruption/kills.py FOLDER --kills 100 --seed 0

Everything heavy is imported once; each attempt is a forked process of its own that runs the real stage and is really
killed. What a stage left behind is boiled down to a fingerprint that does not hold run ids or times. Prints JSON:
kills, rounds and the seconds of one undisturbed run by stage.
"""

import argparse
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
HEAVY = (
    "hbaf.corpus.prepare", "hbaf.privacy.forget", "hbaf.promotion.promote", "hbaf.scoring.score",
    "hbaf.validation.suite",
    "great_expectations.expectations", "great_expectations.render.renderer", "great_expectations.render.view",
    "lightning", "matplotlib.figure", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.linear_model", "sklearn.metrics", "soundfile", "soxr", "transformers.models.auto",
)  # fmt: skip
SHARD = 6  # rows: several shards, so that kills fall between them


def corpus_folder() -> Path:
    return Path(os.environ["KILLS_CORPUS"])


def example() -> None:
    from hbaf.corpus.example.conversations import read_example
    from hbaf.parameters import CorpusParameters

    read_example(CorpusParameters(dialogues=12, seed=3))


def example_left() -> Any:
    """Names and the words; the sound is not reproducible, so only that every file is whole."""
    import soundfile

    (root,) = Path(os.environ["HBAF_HOME"], "examples").iterdir()
    for wav in root.rglob("*.wav"):
        assert soundfile.info(wav).frames > 1000, wav
        assert wav.stat().st_size == 44 + 2 * soundfile.info(wav).frames, f"{wav}: half a file"
    return sorted(str(wav.relative_to(root)) for wav in root.rglob("*.wav")), digest(root / "manifest.csv")


def prepare() -> Any:
    from hbaf.corpus.prepare import prepare_corpus
    from hbaf.corpus.schema import load_corpus
    from hbaf.parameters import CorpusParameters, ValidationParameters
    from hbaf.validation.suite import validate

    reference = prepare_corpus(CorpusParameters(reader="folder", root=corpus_folder()), workers=1)
    validate(load_corpus(reference), ValidationParameters())
    return reference


def reference() -> Any:
    from hbaf.corpus.schema import CorpusReference

    (file,) = Path(os.environ["HBAF_HOME"], "corpora").glob("*/corpus.json")
    facts = json.loads(file.read_text())
    return CorpusReference(file.parent, facts["name"], facts["digest"], facts["splits_digest"])


def prepare_left() -> Any:
    from hbaf.corpus.schema import load_corpus

    corpus = load_corpus(reference())
    assert (corpus.digest(), corpus.splits_digest()) == (reference().digest, reference().splits_digest)
    pages = sorted(page.name for page in Path(os.environ["HBAF_HOME"], "docs").rglob("*.html"))
    return reference().digest, corpus.utterances.to_json(), corpus.splits.to_json(), pages


def settings() -> Any:
    from hbaf.parameters import from_recipe

    return from_recipe(
        "demo",
        features={"audio": "mfcc", "workers": 1},
        model={"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8, "dropout": 0.3, "modality_dropout": 0.3},
        training={"max_epochs": 8, "threads": 1, "patience": 3, "device": "cpu"},
    )


def extract() -> Any:
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import Columns, default_store
    from hbaf.features.extract import extract_column

    corpus, store = load_corpus(reference()), default_store()
    made = {
        modality: extract_column(corpus, name, store, workers=1, batch_size=SHARD, shard_size=SHARD)
        for modality, name in (("audio", "mfcc"), ("text", "minilm"))
    }
    return Columns(**made)


def extract_left() -> Any:
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import default_store
    from hbaf.training.data import read_vectors

    vectors = read_vectors(load_corpus(reference()), extract())
    assert not default_store().verify()
    return [hashlib.sha256(part.tobytes()).hexdigest() for part in (vectors.audio, vectors.text)]


def train() -> Any:
    from hbaf.registry.runs import train_and_log

    return train_and_log(reference(), extract(), *settings())


def train_left() -> Any:
    from hbaf.registry.tracking import MlflowClient, experiment_id

    done = train()  # takes what is there
    assert done.reused
    client = MlflowClient()
    runs = client.search_runs([experiment_id()])
    states = [run.info.status for run in runs]
    assert states.count("FINISHED") == 1, states
    assert "RUNNING" not in states, states
    history = [point.value for point in client.get_metric_history(done.run_id, "dev/loss")]
    kept = {name: value for name, value in client.get_run(done.run_id).data.metrics.items() if "seconds" not in name}
    return history, kept, digest(done.package / "model.safetensors")


def score() -> None:
    from hbaf.parameters import PromotionParameters
    from hbaf.pipeline import decide
    from hbaf.scoring.score import score_corpus

    # Twelve dialogues teach a model nothing for sure; what is looked at here is interruption.
    decide(train(), reference(), extract(), rules=PromotionParameters(minimum_effect=-1))
    score_corpus(reference(), purpose="research", csv=True, workers=1)


def score_left() -> Any:
    import pandas as pd

    from hbaf.registry.models import find_model

    (folder,) = Path(os.environ["HBAF_HOME"], "scores").iterdir()
    scores = pd.read_parquet(folder / "scores.parquet")
    assert len(pd.read_csv(folder / "scores.csv")) == len(scores)
    assert json.loads((folder / "scores.json").read_text())["rows"] == len(scores)
    pages = sorted((folder / "report").rglob("*.html"))
    assert all(page.read_text().rstrip().endswith("</html>") for page in pages)
    return find_model().version, scores.drop(columns=["scored_at", "run_id"]).to_json(), [page.name for page in pages]


def forget() -> None:
    from hbaf.privacy.forget import ForgetError
    from hbaf.privacy.forget import forget as forget_conversation

    try:
        forget_conversation("d3", kind="conversation")
    except ForgetError as error:  # a kill that came after everything was done
        if "no conversation of that name" not in str(error) or held("number 3"):
            raise


def forget_left() -> Any:
    import pandas as pd

    from hbaf.features.columns import default_store
    from hbaf.privacy.journal import open_journals

    home = Path(os.environ["HBAF_HOME"])
    assert held("number 3") == []  # says where
    assert not open_journals()
    assert {json.loads(file.read_text())["state"] for file in (home / "receipts").glob("*.json")} == {"done"}
    assert not default_store().verify()
    (scores,) = (home / "scores").glob("*/scores.parquet")
    rows = pd.read_parquet(scores).drop(columns=["scored_at", "run_id"])
    corpora = sorted(json.loads(file.read_text())["digest"] for file in (home / "corpora").glob("*/corpus.json"))
    return len(rows), rows.to_json(), corpora


def held(words: str) -> list[str]:
    """Files of the home that hold these words; a killed write's own beside them goes after an hour."""
    import pandas as pd

    def content(file: Path) -> str:
        return pd.read_parquet(file).to_csv() if file.suffix == ".parquet" else file.read_bytes().decode("latin1")

    files = Path(os.environ["HBAF_HOME"]).rglob("*")
    return [str(file) for file in files if file.is_file() and file.suffix != ".tmp" and words in content(file)]


# stage -> what it does, what it left, the folders of the home that are its own; none: all that was there before it
STAGES: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[str, ...]]] = {
    "example": (example, example_left, ("examples",)),
    "prepare": (prepare, prepare_left, ("corpora", "cache", "docs")),
    "extract": (extract, extract_left, ("features",)),
    "train": (train, train_left, ("runs", "mlflow")),
    "score": (score, score_left, ("scores",)),
    "forget": (forget, forget_left, ()),
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start(function: Callable[[], Any], result: Path) -> int:
    """Runs a function in a forked process; its JSON goes to `result`, its error to `result`.error."""
    process = os.fork()
    if process:
        return process
    try:
        result.write_text(json.dumps(function(), default=str))
        code = 0
    except BaseException:
        result.with_suffix(".error").write_text(traceback.format_exc())
        code = 1
    os._exit(code)


def finish(function: Callable[[], Any], folder: Path) -> Any:
    """A function in a process of its own, left alone."""
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    _, status = os.waitpid(start(function, result), 0)
    if status != 0:
        raise SystemExit(f"{function.__name__} failed:\n{result.with_suffix('.error').read_text()}")
    return json.loads(result.read_text())


def killed(function: Callable[[], Any], folder: Path, after: float) -> bool:
    """Starts and kills it after so many seconds; False when it was done before. An error of its own fails the test."""
    result = folder / "killed.json"
    result.with_suffix(".error").unlink(missing_ok=True)
    process = start(function, result)
    until = time.monotonic() + after
    while (alive := os.waitpid(process, os.WNOHANG) == (0, 0)) and time.monotonic() < until:
        time.sleep(0.005)
    if alive:
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        alive = os.WIFSIGNALED(status)
    if result.with_suffix(".error").exists():
        raise SystemExit(f"{function.__name__} failed:\n{result.with_suffix('.error').read_text()}")
    return alive


def run(folder: Path, kills: int, seed: int) -> dict[str, dict[str, float]]:
    """Undisturbed once, then each stage in rounds of one to four kills and a run to the end, compared each time."""
    chance = random.Random(seed)
    told: dict[str, dict[str, float]] = {}
    homes = {name: folder / name for name in ("undisturbed", "disturbed")}
    share = {name: kills // len(STAGES) + (place < kills % len(STAGES)) for place, name in enumerate(STAGES)}
    for name, (stage, left, own) in STAGES.items():
        use(homes["undisturbed"])
        began = time.monotonic()
        finish(stage, folder)
        seconds = time.monotonic() - began
        expected = finish(left, folder)
        use(homes["disturbed"])
        done = rounds = 0
        if not own:
            shutil.copytree(homes["disturbed"], folder / name)
        while done < share[name]:
            for place in own if rounds % 3 == 0 else own[:1]:  # the database too, so that its making is killed
                shutil.rmtree(homes["disturbed"] / place, ignore_errors=True)
            if not own:
                shutil.rmtree(homes["disturbed"])
                shutil.copytree(folder / name, homes["disturbed"])
            if name == "train" and rounds % 3:
                shutil.rmtree(homes["disturbed"] / "mlflow" / "artifacts", ignore_errors=True)
                finish(forget_runs, folder)
            for _ in range(min(chance.randint(1, 4), share[name] - done)):
                done += killed(stage, folder, chance.uniform(0, seconds))
            finish(stage, folder)
            found = finish(left, folder)
            if found != expected:
                raise SystemExit(f"{name}, seed {seed}, round {rounds}: {found}\ninstead of {expected}")
            rounds += 1
        told[name] = {"kills": done, "rounds": rounds, "seconds": round(seconds, 2)}
        print(f"{name}: {done} kills in {rounds} rounds, all equal", file=sys.stderr)
    return told


def forget_runs() -> None:
    from hbaf.registry.tracking import MlflowClient, experiment_id

    client = MlflowClient()
    for found in client.search_runs([experiment_id()]):
        client.delete_run(found.info.run_id)


def use(home: Path) -> None:
    os.environ["HBAF_HOME"] = str(home)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    os.environ["KILLS_CORPUS"] = str(asked.folder / "calls")
    use(asked.folder / "undisturbed")
    # Imported before the forks: an attempt then costs what the stage costs. Ours first, which set the environment.
    for module in HEAVY:
        importlib.import_module(module)
    from tests.registry.conftest import write_calls

    write_calls(asked.folder / "calls")
    print(json.dumps(run(asked.folder, asked.kills, asked.seed)))
