"""Model and data in plain Python, without Prefect and MLflow: train, score and read HBAF, or a system of yours."""

from pathlib import Path

from mine import MyFusion

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import extract_features
from hbaf.inference.reading import read
from hbaf.parameters import CorpusParameters, from_recipe
from hbaf.statistics import interval
from hbaf.training.data import read_vectors
from hbaf.training.package import build_untrained
from hbaf.training.run import RunData, train


def main(dialogues: int = 120, epochs: int = 6) -> None:
    """Trains HBAF and the small fusion, scores both on dev and reads one dialogue."""
    alone = {"max_epochs": epochs, "members": 1, "label_chain": "none"}
    settings = from_recipe("demo", features={"audio": "mfcc"}, training=alone)
    corpus = load_corpus(prepare_corpus(CorpusParameters(reader="example", dialogues=dialogues)))
    vectors = read_vectors(corpus, extract_features(corpus, settings.features))  # computed once
    data = RunData.fitted(corpus, vectors, settings.features)  # on train alone
    mine = lambda facts: MyFusion(**data.dims, emotions=len(facts.emotions))  # noqa: E731  # one line, one use
    for name, build in {"hbaf": build_untrained, "mine": mine}.items():
        done = train(settings, data, folder=Path("runs") / name, build=build)
        predictions = done.predictions
        low, high = interval(predictions.counts())
        print(f"{name}: weighted F1 on dev {predictions.weighted_f1():.3f} [{low:.3f}, {high:.3f}]")
        if name == "hbaf":
            reading = read(done.package.system, data.dev[0], corpus.emotions)
            for turn, truth in enumerate(reading.truth):
                gate = reading.gates["audio"][turn]
                print(f"  turn {turn + 1}: {reading.both[turn]} (is {truth}), audio kept {gate:.2f}")


if __name__ == "__main__":
    main()
