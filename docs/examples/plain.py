"""Model and data in plain Python, without Prefect and MLflow: train, score and read HBAF, or a system of yours."""

from pathlib import Path

from mine import MyFusion

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import extract_features
from hbaf.inference.reading import read
from hbaf.model.hbaf import HBAF
from hbaf.parameters import CorpusParameters, from_recipe
from hbaf.statistics import interval
from hbaf.training.data import fit_representation, load_split, read_vectors
from hbaf.training.evaluate import predict
from hbaf.training.fit import fit, seed_everything


def main(dialogues: int = 120, epochs: int = 6) -> None:
    """Trains HBAF and the small fusion, scores both on dev and reads one dialogue."""
    features, model, training = from_recipe("demo", features={"audio": "mfcc"}, training={"max_epochs": epochs})
    corpus = load_corpus(prepare_corpus(CorpusParameters(reader="example", dialogues=dialogues)))
    vectors = read_vectors(corpus, extract_features(corpus, features))  # computed once, then read from the home
    representation = fit_representation(corpus, vectors, features, selects=False)  # on train alone
    train, dev = (load_split(corpus, vectors, representation, split) for split in ("train", "dev"))
    dims = {
        "audio_dim": representation.audio_dim, "text_dim": vectors.text.shape[1], "commonsense_dim": None,
        "emotions": len(corpus.emotions),
    }  # fmt: skip
    systems = {"hbaf": lambda: HBAF(**dims, **model.model_dump()), "mine": lambda: MyFusion(**dims)}
    for name, build in systems.items():
        seed_everything(training.seed)
        system = build()
        fit(system, train, dev, emotions=corpus.emotions, training=training, folder=Path("runs") / name)
        predictions = predict(system, dev, corpus.emotions)
        low, high = interval(predictions.counts())
        print(f"{name}: weighted F1 on dev {predictions.weighted_f1():.3f} [{low:.3f}, {high:.3f}]")
        if name == "hbaf":
            reading = read(system.eval(), dev[0], corpus.emotions)
            for turn, truth in enumerate(reading.truth):
                gate = reading.gates["audio"][turn]
                print(f"  turn {turn + 1}: {reading.both[turn]} (is {truth}), audio kept {gate:.2f}")


if __name__ == "__main__":
    main()
