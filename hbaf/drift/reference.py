"""What new conversations are compared with: how train and dev looked to the model when it was trained.

A folder of safetensors + JSON beside the model's weights: numbers of each utterance, no word, no name and no id.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaf.corpus.schema import Corpus
from hbaf.drift.familiarity import Edge, fit_edge
from hbaf.drift.observations import Observations, observe
from hbaf.drift.sketch import Sketcher, fit_sketcher
from hbaf.drift.word_pairs import KnownPairs, fit_known_pairs
from hbaf.features.columns import names
from hbaf.features.cross_fit import is_fine_tuned
from hbaf.home import write_atomically
from hbaf.inference.predictor import Predictor
from hbaf.training.data import Vectors
from hbaf.training.package import ModelPackage

FORMAT = 1
FOLDER = "reference"  # inside a model package
MOST = 6000  # utterances kept; more would not make a threshold better


class ReferenceMissing(LookupError):
    """A model has nothing that new conversations could be compared with."""


@dataclass(frozen=True, eq=False)
class Reference:
    """How a model's own corpus looked to it.

    Attributes:
        seen: utterances of train and dev; `held_out` are those of dev.
        sketchers: modality -> how its vectors become a sketch.
        known_pairs: of words, in the train split.
        emotions: the label set in the order of the class indices.
        corpus: name of the corpus.
        measured_f1: weighted F1 on dev with labels; beside the expected one it says how far that can be trusted.
        edges: modality -> beyond which an utterance is unlike the corpus; empty in references of an older hbaf.
    """

    seen: Observations
    sketchers: Mapping[str, Sketcher]
    known_pairs: KnownPairs
    emotions: tuple[str, ...]
    corpus: str
    measured_f1: float
    edges: Mapping[str, Edge] = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Writes the reference; reference.json comes last, so a folder with it is whole."""
        from safetensors.numpy import save

        arrays = {"dialogue": self.seen.dialogue.astype(np.int32), "held_out": self.seen.held_out}
        arrays["probability"] = self.seen.probability.astype(np.float16)
        arrays |= {f"measure/{name}": values.astype(np.float32) for name, values in self.seen.measures.items()}
        # Half precision: ranks are compared, and these are most of the file.
        arrays |= {f"sketch/{name}": values.astype(np.float16) for name, values in self.seen.sketches.items()}
        for name, sketcher in self.sketchers.items():
            arrays |= {f"mean/{name}": sketcher.mean, f"components/{name}": sketcher.components.astype(np.float16)}
        for name, edge in self.edges.items():
            arrays |= {f"edge_mean/{name}": edge.sketcher.mean}
            arrays[f"edge_components/{name}"] = edge.sketcher.components.astype(np.float16)
        arrays["known_pairs"] = self.known_pairs.bits
        facts: dict[str, Any] = {
            "format": FORMAT,
            "emotions": self.emotions,
            "corpus": self.corpus,
            "measured_f1": self.measured_f1,
        }
        facts["edges"] = {name: edge.distance for name, edge in self.edges.items()}
        folder.mkdir(parents=True, exist_ok=True)
        contiguous = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
        write_atomically(folder / "reference.safetensors", save(contiguous))
        write_atomically(folder / "reference.json", json.dumps(facts, indent=1).encode())
        return folder

    @staticmethod
    def load(folder: Path) -> "Reference":
        """Reads what `save` wrote.

        Raises:
            ReferenceMissing: nothing whole lies there, or something newer.
        """
        from safetensors.numpy import load_file

        try:
            facts = json.loads((folder / "reference.json").read_text())
            arrays = load_file(folder / "reference.safetensors")
        except FileNotFoundError as error:
            raise ReferenceMissing(f"{folder}: no reference.json, so no reference of a model.") from error
        if facts["format"] > FORMAT:
            raise ReferenceMissing(f"{folder}: written by a newer hbaf. Upgrade hbaf to use it.")

        def part(kind: str) -> dict[str, np.ndarray]:
            named = {name.partition("/")[2]: values for name, values in arrays.items() if name.startswith(f"{kind}/")}
            return {name: values.astype(np.float32) for name, values in named.items()}

        means, edge_means, edge_components = part("mean"), part("edge_mean"), part("edge_components")
        return Reference(
            seen=Observations(
                arrays["dialogue"].astype(np.int64),
                arrays["held_out"],
                arrays["probability"].astype(np.float32),
                part("measure"),
                part("sketch"),
            ),
            sketchers={name: Sketcher(means[name], axes) for name, axes in part("components").items()},
            known_pairs=KnownPairs(arrays["known_pairs"]),
            emotions=tuple(facts["emotions"]),
            corpus=facts["corpus"],
            measured_f1=facts["measured_f1"],
            edges={
                name: Edge(Sketcher(edge_means[name], edge_components[name]), distance)
                for name, distance in facts.get("edges", {}).items()
            },
        )


def make_reference(predictor: Predictor, corpus: Corpus, vectors: Vectors) -> Reference:
    """Looks at train and dev of the corpus that a model was trained on.

    Args:
        vectors: of the whole corpus, in the order of its table.

    Raises:
        ReferenceMissing: the corpus has no dev split, or nothing in it.
    """
    package = predictor.package
    dev = set(corpus.in_split("dev")["dialogue_id"])
    # A fine-tuned encoder has learned train by heart: only dev looks to it as new conversations do.
    fine_tuned = any(is_fine_tuned(name) for name in names(package.facts.features).values())
    known = dev if fine_tuned else dev | set(corpus.in_split("train")["dialogue_id"])
    rows = _at_most(corpus.utterances[corpus.utterances["dialogue_id"].isin(known)], MOST)
    held_out = rows["dialogue_id"].isin(dev).to_numpy(bool)
    if not held_out.any():
        raise ReferenceMissing(
            f"{corpus.name}: no dialogue of dev, so nothing that the model has not learned from. Train on a corpus "
            "with a dev split."
        )
    scores = rows.merge(predictor.predict(corpus, vectors, rows), on="utterance_id", validate="one_to_one")
    inputs = inputs_of(rows, corpus, package.representation.transform(vectors))
    named = {"audio": inputs.audio, "text": inputs.text}
    sketchers = {name: made for name, values in named.items() if (made := fit_sketcher(values)) is not None}
    emotions = package.facts.emotions
    train = corpus.in_split("train")
    known_pairs = fit_known_pairs(train["text"], train["dialogue_id"])
    seen = observe(scores, emotions, vectors=inputs, sketchers=sketchers, known_pairs=known_pairs, held_out=held_out)
    measured = float(package.facts.dev_metrics.get("weighted_f1", float("nan")))
    learned = ~held_out
    if not learned.any():  # what lies far from one half of dev is asked of the other half
        learned = rows["dialogue_id"].isin(rows["dialogue_id"].unique()[::2]).to_numpy(bool)
    edges = {name: edge for name, values in named.items() if (edge := fit_edge(values, learned)) is not None}
    return Reference(seen, sketchers, known_pairs, emotions, corpus.name, measured, edges)


def inputs_of(rows: pd.DataFrame, corpus: Corpus, vectors: Vectors) -> Vectors:
    """The vectors of some rows of a corpus."""
    at = pd.Index(corpus.utterances["utterance_id"]).get_indexer(pd.Index(rows["utterance_id"]))
    return Vectors(vectors.audio[at], vectors.text[at], None, vectors.has_audio[at], vectors.has_text[at])


def _at_most(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Whole dialogues, drawn evenly over all, that together have no more utterances than that by and large."""
    if len(rows) <= most:
        return rows
    dialogues = rows["dialogue_id"].unique()
    kept = np.random.default_rng(0).permutation(dialogues)[: max(2, len(dialogues) * most // len(rows))]
    return rows[rows["dialogue_id"].isin(kept)]


def keep_reference(package: ModelPackage, corpus: Corpus, vectors: Vectors, folder: Path) -> None:
    """Puts the reference beside a package that was just trained; nothing where its corpus gives none.

    Args:
        vectors: that it was trained on, of the whole corpus.
        folder: of the package.
    """
    with suppress(ReferenceMissing):
        make_reference(Predictor(package), corpus, vectors).save(folder / FOLDER)
