"""Corpora like the example's dev and test: as they are, with every voice higher, with the words of each turn shuffled.

    python tests/drift/draw_runs.py --draws 20

In the home of HBAF_HOME: a model is trained on the example (or taken, where it was), each corpus is scored by it and
held against its reference as the monitor does. What is spoken goes on where dev and test of the example end, by turns:
lines and voices that the model has not learned. (Another seed says lines of train too: of those the model is surer.)
Prints JSON: what was flagged, by draw. Synthesis and features are kept, so that a second run is quick.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from hbaf.corpus.example.conversations import SPLIT_SHARES, _make_audio, example_script
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import Corpus, load_corpus
from hbaf.corpus.sound.facts import add_facts
from hbaf.drift.checks import Findings, compare
from hbaf.drift.observations import observe
from hbaf.drift.reference import Reference, make_reference
from hbaf.features.columns import extract_features
from hbaf.home import directory, prepare_environment
from hbaf.inference.predictor import Predictor
from hbaf.parameters import CorpusParameters, MonitorParameters, from_recipe
from hbaf.training.data import read_vectors
from hbaf.training.package import ModelPackage

DIALOGUES = 24
TAKEN = round(CorpusParameters().dialogues * SPLIT_SHARES["dev"])  # dialogues of dev, and of test, in the example
SEMITONES = 3


def higher(source: Path, target: Path, semitones: float = SEMITONES) -> None:
    """The same recording some semitones higher, as long as it was."""
    import av
    import soundfile

    samples, rate = soundfile.read(source, dtype="float32")
    factor = 2 ** (semitones / 12)
    graph = av.filter.Graph()
    steps = [
        graph.add_abuffer(format="flt", sample_rate=rate, layout="mono", time_base=f"1/{rate}"),
        graph.add("asetrate", str(int(rate * factor))),
        graph.add("aresample", str(rate)),
        graph.add("atempo", str(1 / factor)),
        graph.add("aformat", "sample_fmts=flt:channel_layouts=mono"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*steps).configure()
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    graph.push(frame)
    graph.push(None)
    pieces = []
    while True:
        try:
            pieces.append(graph.pull().to_ndarray()[0])
        except (av.error.BlockingIOError, av.error.EOFError):
            break
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(target, np.concatenate(pieces), rate)


def pitched(corpus: Corpus) -> Corpus:
    root = directory("draws") / corpus.root.name
    for name in corpus.utterances["audio"].dropna():
        if not (root / name).exists():
            higher(corpus.root / name, root / name)
    return add_facts(replace(corpus, root=root), workers=1)


def shuffled(corpus: Corpus, seed: int) -> Corpus:
    """The words of each turn in random order: the same words, no sentence."""
    random = np.random.default_rng(seed)
    texts = [
        " ".join(random.permutation(text.split())) if isinstance(text, str) else text
        for text in corpus.utterances["text"]
    ]
    table = corpus.utterances.copy()
    table["text"] = np.array(texts, object)
    return corpus.with_utterances(table.astype({"text": corpus.utterances["text"].dtype}))


def trained(audio: str) -> tuple[Predictor, Reference]:
    """The model of `hbaf demo` and its reference."""
    from hbaf.registry.runs import train_and_log

    features, model, training = from_recipe("demo", features={"audio": audio})
    prepared = prepare_corpus(CorpusParameters())
    corpus = load_corpus(prepared)
    columns = extract_features(corpus, features)
    run = train_and_log(prepared, columns, features, model, training)
    predictor = Predictor(ModelPackage.load(run.package))
    return predictor, make_reference(predictor, corpus, read_vectors(corpus, columns))


def findings(corpus: Corpus, predictor: Predictor, reference: Reference, parameters: MonitorParameters) -> Findings:
    """What the monitor finds in a corpus."""
    package = predictor.package
    columns = extract_features(
        corpus, package.facts.features, out_of_fold=False, selection=package.representation.audio
    )
    vectors = read_vectors(corpus, columns)
    scores = corpus.utterances.merge(predictor.predict(corpus, vectors), on="utterance_id", validate="one_to_one")
    window = observe(
        scores, reference.emotions, vectors=package.representation.transform(vectors),
        sketchers=reference.sketchers, known_pairs=reference.known_pairs,
    )  # fmt: skip
    return compare(window, reference, parameters)


@cache
def longer_example(draws: int) -> pd.DataFrame:
    """The example's script with as many more dialogues of dev and test as the draws take."""
    return example_script(0, math.ceil((TAKEN + DIALOGUES * (draws + 1) / 2) / SPLIT_SHARES["dev"]))


def spoken(number: int, draws: int) -> Path:
    """A folder with dialogues that dev (odd numbers) or test (even) of the example would go on with."""
    script = longer_example(draws)
    split = script[script["split"] == ("dev" if number % 2 else "test")]
    first = TAKEN + DIALOGUES * ((number - 1) // 2)
    these = split[split["dialogue_id"].isin(split["dialogue_id"].unique()[first : first + DIALOGUES])]
    assert these["dialogue_id"].nunique() == DIALOGUES
    folder = directory("examples", f"draw-{number}-of-{draws}")  # another number of draws names dialogues otherwise
    _make_audio(these, folder, False)
    columns = ["dialogue", "turn", "speaker", "text", "audio", "emotion"]
    these.rename(columns={"dialogue_id": "dialogue"})[columns].to_csv(folder / "manifest.csv", index=False)
    return folder


def draw(number: int, draws: int) -> Iterator[tuple[str, Corpus]]:
    root = spoken(number, draws)
    corpus = load_corpus(prepare_corpus(CorpusParameters(reader="folder", root=root), split=False))
    yield "undisturbed", corpus
    yield "pitch", pitched(corpus)
    yield "shuffled", shuffled(corpus, number)


def run(draws: int, audio: str, chance: int) -> dict[str, list[list[str]]]:
    predictor, reference = trained(audio)
    parameters = MonitorParameters(draws=chance)
    told: dict[str, list[list[str]]] = {}
    for number in range(1, draws + 1):
        began = time.monotonic()
        for what, corpus in draw(number, draws):
            found = findings(corpus, predictor, reference, parameters)
            assert found.judged
            told.setdefault(what, []).append([check.name for check in found.flagged])
        now = {what: looks[-1] for what, looks in told.items()}
        print(f"draw {number}: {now}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--audio", default="compare2016")
    parser.add_argument("--chance", type=int, default=500, help="draws by which the bounds are measured")
    asked = parser.parse_args()
    prepare_environment()
    print(json.dumps(run(asked.draws, asked.audio, asked.chance)))
