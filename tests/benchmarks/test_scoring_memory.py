"""Peak memory of scoring 1,000 and 10,000 utterances, from the folder to the report, in a process of its own each.

The extractors are cheap ones of one's own, as wide as the real ones behind their selection; everything else is real.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = '''
import numpy as np


class Heard:
    """512 numbers of a signal."""

    name, modality, dim, licence, commercial, in_processes, selected = "heard", "audio", 512, "", True, False, False

    def identity(self):
        return {"name": self.name}

    def extract(self, items):
        return np.stack([np.resize(np.abs(np.fft.rfft(item[:1024])), self.dim) for item in items]).astype(np.float32)


class Read:
    """1024 numbers of a text."""

    name, modality, dim, licence, commercial, in_processes, selected = "read", "text", 1024, "", True, False, False

    def identity(self):
        return {"name": self.name}

    def extract(self, items):
        seeds = [sum(item.encode()) for item in items]
        return np.stack([np.random.default_rng(seed).normal(size=self.dim) for seed in seeds]).astype(np.float32)
'''
# Ten turns a dialogue, each a second of one recording.
PROGRAM = textwrap.dedent(
    """
    import json, sys, time
    from pathlib import Path
    import numpy as np, soundfile
    from hbaf.corpus.prepare import prepare_corpus
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features
    from hbaf.parameters import CorpusParameters, from_recipe
    from hbaf.registry.models import CHAMPION, register
    from hbaf.registry.runs import train_and_log
    from hbaf.registry.tracking import MlflowClient
    from hbaf.scoring.score import score_corpus
    from tests import peak_memory

    folder, dialogues = Path(sys.argv[1]), int(sys.argv[2])

    def calls(name, count):
        root = folder / name
        root.mkdir()
        rows = ["dialogue,turn,speaker,text,audio,start,end,emotion"]
        for dialogue in range(count):
            random = np.random.default_rng(dialogue)
            soundfile.write(root / f"{dialogue}.wav", 0.1 * random.standard_normal(16_000 * 5), 16_000)
            for turn in range(10):
                said = " ".join(random.choice(["yes", "no", "maybe", "well", "then", "never", "always"], 9))
                rows.append(f"{dialogue},{turn},{'AB'[turn % 2]},{said} {dialogue} {turn},{dialogue}.wav,"
                            f"{turn / 2},{turn / 2 + 0.5},{['joy', 'anger'][turn % 2]}")
        (root / "calls.csv").write_text("\\n".join(rows) + "\\n")
        return CorpusParameters(reader="folder", root=root)

    def peak():
        return peak_memory.peak() / 1024

    if sys.argv[3] == "train":
        own = folder / "own.py"
        features, model, training = from_recipe("demo", training={"max_epochs": 1},
            features={"audio": f"{own}:Heard", "text": f"{own}:Read"})
        reference = prepare_corpus(calls("train", dialogues))
        run = train_and_log(reference, extract_features(load_corpus(reference), features), features, model, training)
        MlflowClient().set_registered_model_alias("memory", CHAMPION, register(run.model_uri, "memory", {}))
    else:
        source = calls(f"scored-{dialogues}", dialogues)
        reference = prepare_corpus(source, split=False, workers=1)
        prepared = peak()
        began = time.perf_counter()
        scores = score_corpus(reference, purpose="research", model="memory", keep_features="none", workers=1)
        print(json.dumps({"rows": scores.rows, "prepared": prepared, "peak": peak(),
            "seconds": time.perf_counter() - began}))
    """
)


def run(folder: Path, dialogues: int, what: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(dialogues), what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.benchmark
def test_memory_of_scoring(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    run(tmp_path, 12, "train")
    few, many = (json.loads(run(tmp_path, dialogues, "score").splitlines()[-1]) for dialogues in (100, 1000))
    assert (few["rows"], many["rows"]) == (1_000, 10_000)
    print(
        f"\npeak memory of scoring: {few['peak']:.0f} MB for 1,000 utterances, {many['peak']:.0f} MB for 10,000 "
        f"({many['prepared']:.0f} MB of it while the corpus was read): {many['peak'] / few['peak']:.2f} times; "
        f"{many['rows'] / many['seconds']:.0f} utterances a second beside the extractors"
    )
