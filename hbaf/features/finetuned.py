"""Encoders that were fine-tuned here: where they lie, which of their parts serves which utterance, and their vectors.

A folder in the home's `encoders`, named by the digest of its encoder.json, which holds the digests of everything else:

encoder.json   what was fine-tuned on what: base model, parameters, train dialogues by fold, scores
full/          the encoder that saw the whole train split: for dev, test and every conversation that comes later
fold-0/ ...    encoders that saw the train split without one fold of its dialogues, for the utterances of that fold,
               each with an alignment.safetensors that turns its vectors into the space of `full`

A model package carries encoder.json and full/.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hbaf.corpus.schema import Corpus
from hbaf.corpus.windows import Window
from hbaf.features.audio.speech_models import SpeechModel
from hbaf.features.text.language_models import LanguageModel
from hbaf.features.weights import WeightsError, locate_weights
from hbaf.files import move_folder, published_folder
from hbaf.home import directory, write_atomically
from hbaf.pseudonyms import shown_id
from hbaf.waiting import alone

VERSION = 1  # raised when the golden vectors move
KIND = "finetuned"
FULL = "full"
ALIGNMENT = "alignment.safetensors"


class LeakError(ValueError):
    """An encoder would be read where it has learned the answers."""


@dataclass(frozen=True)
class EncoderFolder:
    """A fine-tuned encoder on disk.

    Attributes:
        folder: holds encoder.json and the parts.
        digest: sha256 of the facts, the folder's name.
        facts: what encoder.json says.
    """

    folder: Path
    digest: str
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """What `features.text` or `features.audio` is set to."""
        return f"{KIND}:{self.digest[:16]}"

    def part(self, part: str) -> Path:
        """The folder of a part.

        Raises:
            WeightsError: it is not here, or was changed.
        """
        folder = self.folder / part
        if not folder.is_dir():
            raise WeightsError(
                f"{self.name}: its part {part} is not in {self.folder}. A package carries `full` alone; features for "
                "training are made where the encoder was fine-tuned, or after `hbaf finetune` here."
            )
        if locate_weights(str(folder)).revision != self.facts["parts"][part]["content"]:
            raise WeightsError(f"{folder}: its files are not those that were fine-tuned. Delete it, fine-tune again.")
        return folder

    def fold_of_rows(self, corpus: Corpus) -> np.ndarray:
        """(rows,) int: the fold whose encoder has not seen the utterance, -1 where `full` has not.

        Raises:
            LeakError: a dialogue that was learned is in the dev, test or gate split of this corpus.
        """
        folds = {dialogue: fold for fold, part in enumerate(self.facts["folds"]) for dialogue in part}
        learned = set(self.facts["dialogues"]) if corpus.name == self.facts["corpus"] else set()
        splits = dict(zip(corpus.splits["dialogue_id"], corpus.splits["split"], strict=True))
        called = {dialogue: self.called(dialogue) for dialogue in {*splits, *corpus.utterances["dialogue_id"]}}
        leaked = sorted(d for d, split in splits.items() if called[d] in learned and split in ("dev", "test", "gate"))
        if leaked:
            raise LeakError(
                f"{self.name}: was fine-tuned on {len(leaked)} dialogues that are in dev, test or gate now, such as "
                f"{shown_id(f'{corpus.name}/{leaked[0]}')}. Fine-tune again with these splits: `hbaf finetune`."
            )
        names = [called[dialogue] for dialogue in corpus.utterances["dialogue_id"]]
        return np.array([folds.get(name, -1) if name in learned else -1 for name in names], int)

    def called(self, dialogue: str) -> str:
        """What encoder.json calls a dialogue; the first format wrote its id."""
        return dialogue if self.facts["format"] == 1 else dialogue_digest(self.facts["corpus"], dialogue)


def dialogue_digest(corpus: str, dialogue: str) -> str:
    """A dialogue in encoder.json, which travels with models and lies in MLflow: an id may be somebody's name."""
    return hashlib.sha256(f"{corpus}/{dialogue}".encode()).hexdigest()[:24]


def encoders_directory() -> Path:
    """The folder of the home that holds fine-tuned encoders; made if absent."""
    return directory("encoders")


def find_encoder(digest: str) -> EncoderFolder:
    """A fine-tuned encoder by its digest or a beginning of it, six letters or more.

    Raises:
        WeightsError: none, or several, or it was damaged.
    """
    found = [path for path in encoders_directory().iterdir() if len(digest) >= 6 and path.name.startswith(digest)]
    if len(found) != 1:
        there = ", ".join(encoder.name for encoder in list_encoders()) or "none"
        raise WeightsError(
            f"{KIND}:{digest}: {len(found)} encoders of that digest in {encoders_directory()}; there are: {there}. "
            "Make one: `hbaf finetune`."
        )
    return open_encoder(found[0])


def open_encoder(folder: Path) -> EncoderFolder:
    """Reads encoder.json and holds it against the folder's name."""
    content = (folder / "encoder.json").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != folder.name:
        raise WeightsError(f"{folder / 'encoder.json'}: was changed after it was written. Fine-tune again.")
    return EncoderFolder(folder, digest, json.loads(content))


def list_encoders() -> list[EncoderFolder]:
    """Every whole fine-tuned encoder in the home."""
    return [open_encoder(path) for path in sorted(encoders_directory().iterdir()) if (path / "encoder.json").is_file()
            and not path.name.startswith(".")]  # fmt: skip


def carry(name: str, folder: Path) -> None:
    """Copies what scoring needs of the encoder that a name stands for into a package; nothing for other names."""
    if not name.startswith(f"{KIND}:"):
        return
    encoder = find_encoder(name.partition(":")[2])
    target = folder / "encoders" / encoder.digest
    shutil.copytree(encoder.part(FULL), target / FULL, dirs_exist_ok=True)
    shutil.copyfile(encoder.folder / "encoder.json", target / "encoder.json")


def adopt(folder: Path) -> None:
    """Makes the encoders that a package carries known on this machine, and whole again where files are missing.

    Raises:
        WeightsError: what the package carries is damaged.
    """
    for carried in sorted((folder / "encoders").glob("*")):
        target = encoders_directory() / carried.name
        if not target.exists():
            with published_folder(target) as beside:
                shutil.copytree(carried, beside, dirs_exist_ok=True)
        try:
            open_encoder(target).part(FULL)
        except (WeightsError, FileNotFoundError):
            _mend(carried, target)


def _mend(carried: Path, target: Path) -> None:
    """Takes encoder.json and the whole encoder from a package; folds, if it was fine-tuned here, stay."""
    open_encoder(carried).part(FULL)
    with alone(target.with_name(f".{target.name[:16]}.lock")):
        damaged = target / f".damaged-{os.urandom(4).hex()}"
        if (target / FULL).exists():
            move_folder(target / FULL, damaged)
        with published_folder(target / FULL) as beside:
            shutil.copytree(carried / FULL, beside, dirs_exist_ok=True)
        write_atomically(target / "encoder.json", (carried / "encoder.json").read_bytes())
        shutil.rmtree(damaged, ignore_errors=True)
    open_encoder(target).part(FULL)


class FineTuned:
    """Vectors of a fine-tuned encoder: masked mean of the last layer, as its classification head saw it.

    Args:
        name: the extractor's name.
        model: digest of the encoder, or its beginning.
        part: `full`, or `fold-0` ... for the utterances that this part alone has not seen.
        batch_size, device: as those of the base model.

    Raises:
        WeightsError: there is no such encoder here.
    """

    modality: Literal["audio", "text"]
    in_processes = False
    selected = False
    licence = "of the base model and of the corpus that it was fine-tuned on"
    commercial = False

    def __init__(
        self,
        name: str = KIND,
        *,
        model: str | None = None,
        part: str = FULL,
        batch_size: int = 64,
        device: str = "auto",
    ) -> None:
        if model is None:
            raise WeightsError(
                f"{name}: which one? Name it by its digest, `{name}:DIGEST`, as `hbaf finetune` printed."
            )
        self.name = name
        self.encoder = find_encoder(model)
        facts = self.encoder.facts
        if part not in facts["parts"]:
            raise ValueError(f"{name}: no part {part!r}; there are: {', '.join(facts['parts'])}")
        self.part = part
        self.folder = self.encoder.part(part)
        self.modality = facts["modality"]
        self.licence, self.commercial = facts["licence"], facts["commercial"]
        kind: Any = LanguageModel if self.modality == "text" else SpeechModel
        self.base: Any = kind(KIND, model=str(self.folder), batch_size=batch_size, device=device, **facts["settings"])
        self.dim: int = self.base.dim
        self.context: int = facts["settings"].get("context", 0)

    def identity(self) -> dict[str, object]:
        """What the vectors depend on: the encoder, its part, and digests of what it learned from."""
        facts = self.encoder.facts
        return {
            "name": KIND,
            "version": VERSION,
            "encoder": self.encoder.digest,
            "part": self.part,
            "train": facts["train"],
            "labels": facts["labels"],
            **({"context": self.context} if self.context else {}),
        }

    def extract(self, items: Sequence[np.ndarray] | Sequence[str] | Sequence[Window]) -> np.ndarray:
        """(items, dim) float32, NaN rows where the base model has none; those of a fold in the space of `full`."""
        vectors: np.ndarray = self.base.extract(items)
        if self._alignment is None:
            return vectors
        return apply_alignment(vectors, self._alignment)

    @cached_property
    def _alignment(self) -> dict[str, np.ndarray] | None:
        from safetensors.numpy import load_file

        path = self.folder / ALIGNMENT
        return load_file(path) if path.exists() else None


def fit_alignment(own: np.ndarray, full: np.ndarray) -> dict[str, np.ndarray]:
    """The shift and rotation that bring `own` nearest to `full` (orthogonal Procrustes), both (n, dim).

    A rotation keeps every distance between utterances, so nothing that separates classes can enter through it.
    """
    from scipy.linalg import orthogonal_procrustes

    own, full = own.astype(np.float64), full.astype(np.float64)
    rotation, _ = orthogonal_procrustes(own - own.mean(axis=0), full - full.mean(axis=0))
    return {
        "own_mean": own.mean(axis=0).astype(np.float32),
        "rotation": rotation.astype(np.float32),
        "full_mean": full.mean(axis=0).astype(np.float32),
    }


def apply_alignment(vectors: np.ndarray, alignment: dict[str, np.ndarray]) -> np.ndarray:
    """(n, dim) -> (n, dim) float32; NaN rows stay NaN."""
    aligned = np.full(vectors.shape, np.nan, np.float32)
    present = np.isfinite(vectors).all(axis=1)
    aligned[present] = (vectors[present] - alignment["own_mean"]) @ alignment["rotation"] + alignment["full_mean"]
    return aligned
