"""Fine-tuning of a text or speech encoder on the train split, so that its features know of emotion and leak none of it.

One encoder learns from the whole train split and serves dev, test and every later conversation. Its vectors of the
utterances that it learned from are nearly separable by label, and HBAF would learn to look at nothing else; so with
`cross_fit: 5` five more encoders each learn without one fold of the train dialogues, and serve that fold.

All start from the same weights, the same head and the same seed, so they move in like directions; a rotation fitted on
utterances that both have learned from, without their labels, brings each onto the whole one (`align`).
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hbaf.corpus.schema import Corpus
from hbaf.features.extractor import Extractor
from hbaf.features.finetuned import (
    ALIGNMENT,
    FULL,
    VERSION,
    EncoderFolder,
    apply_alignment,
    dialogue_digest,
    encoders_directory,
    fit_alignment,
    list_encoders,
    open_encoder,
)
from hbaf.features.registry import EXTRACTORS, make_extractor
from hbaf.features.text.language_models import LanguageModel
from hbaf.features.weights import OTHER_PATTERNS, locate_weights
from hbaf.files import move_folder
from hbaf.home import write_atomically
from hbaf.parameters import FineTuneParameters
from hbaf.training.data import label_indices
from hbaf.training.finetuning.examples import Examples, FineTuneError, make_examples
from hbaf.training.finetuning.part import train_part
from hbaf.training.run_log import RunLog, SilentRunLog
from hbaf.waiting import alone

ALIGNED_ON = 2000  # utterances: enough for a rotation of 1024 dimensions, quick on a CPU
UNHEARD = 500  # dev utterances on which the alignment is measured


@dataclass(frozen=True)
class EncoderReference:
    """A fine-tuned encoder: small enough to travel between tasks.

    Attributes:
        name: what `features.text` or `features.audio` is set to.
        modality: which of the two.
        dev: weighted F1 and cross-entropy on dev of the whole encoder with its head.
        reused: the same encoder was there already.
    """

    name: str
    digest: str
    folder: Path
    modality: str
    dev: dict[str, float]
    reused: bool = False


@dataclass(frozen=True)
class _Task:
    """What is learned from: rows of the utterance table."""

    examples: Examples
    labels: np.ndarray
    train: np.ndarray
    dev: np.ndarray
    fold: np.ndarray  # (rows,) int, -1 outside of train


def finetune(
    corpus: Corpus, parameters: FineTuneParameters, *, log: RunLog | None = None, progress: bool = False
) -> EncoderReference:
    """Fine-tunes the whole encoder and one for each fold. A killed run goes on with the part that it was at.

    Raises:
        FineTuneError: the base is no encoder, or the train split holds fewer than two classes.
        WeightsError: the base model's weights are not on this machine.
    """
    base, task, facts = _prepared(corpus, parameters)
    key = facts["key"]
    with alone(encoders_directory() / f".{key[:16]}.lock"):
        done = [encoder for encoder in list_encoders() if encoder.facts["key"] == key]
        if done:
            return _reference(done[0], reused=True)
        work = encoders_directory() / f".work-{key[:16]}"
        work.mkdir(exist_ok=True)
        for part in [FULL, *(f"fold-{fold}" for fold in range(parameters.cross_fit))]:
            if not (work / f"{part}.json").exists():
                _make_part(work, part, base, task, len(corpus.emotions), parameters, log or SilentRunLog(), progress)
        return _reference(_published(work, facts), reused=False)


def find_finished(corpus: Corpus, parameters: FineTuneParameters) -> EncoderReference | None:
    """The encoder that `finetune` would make, if it was made already."""
    key = _prepared(corpus, parameters)[2]["key"]
    return next((_reference(made, reused=True) for made in list_encoders() if made.facts["key"] == key), None)


def _prepared(corpus: Corpus, parameters: FineTuneParameters) -> tuple[Any, _Task, dict[str, Any]]:
    base = _base(parameters)
    task = _task(corpus, make_examples(corpus, base, parameters.max_seconds), parameters)
    return base, task, _facts(corpus, base, parameters, task)


def assign_folds(dialogues: Iterable[str], folds: int, seed: int) -> list[list[str]]:
    """Dialogues dealt out to folds of equal size, in an order that looks drawn by chance and always is the same."""
    order = sorted(set(dialogues), key=lambda dialogue: hashlib.sha256(f"{seed}:{dialogue}".encode()).digest())
    return [sorted(order[fold::folds]) for fold in range(folds)]


def _base(parameters: FineTuneParameters) -> Any:
    if parameters.encoder.partition(":")[0] in ("finetuned", "comet"):
        raise FineTuneError(f"{parameters.encoder}: cannot be fine-tuned. Name a base model, as `minilm`.")
    text = EXTRACTORS.get(parameters.encoder.partition(":")[0]) is LanguageModel
    # The head reads the mean over the last layer, whatever the base is used with otherwise.
    if parameters.context and not text:
        raise FineTuneError(f"{parameters.encoder}: reads no turns before. `context` is for text encoders.")
    settings: dict[str, Any] = {"layers": 1, "pool": "masked_mean", **_text_settings(parameters)} if text else {}
    return make_extractor(parameters.encoder, device=parameters.device, **settings)


def _text_settings(parameters: FineTuneParameters) -> dict[str, Any]:
    """What a text encoder is used with ever after; encoders from before there was `context` keep their key."""
    return {"max_length": parameters.max_length, **({"context": parameters.context} if parameters.context else {})}


def _task(corpus: Corpus, examples: Examples, parameters: FineTuneParameters) -> _Task:
    labels = label_indices(corpus.utterances["emotion"], corpus.emotions)
    learnable = examples.usable & (labels >= 0)
    rows = {}
    for split in ("train", "dev"):
        inside = corpus.utterances["utterance_id"].isin(corpus.in_split(split)["utterance_id"]).to_numpy()
        rows[split] = np.flatnonzero(inside & learnable)
    dialogues = corpus.utterances["dialogue_id"].to_numpy(object)
    if len(np.unique(labels[rows["train"]])) < 2:
        raise FineTuneError(f"corpus {corpus.name}: fewer than two emotions in the train split, so nothing to learn.")
    if not len(rows["dev"]):
        raise FineTuneError(f"corpus {corpus.name}: no labelled utterance in dev, so nobody knows when to stop.")
    if parameters.cross_fit == 1 or parameters.cross_fit > len(set(dialogues[rows["train"]])):
        raise FineTuneError(
            f"cross_fit: {parameters.cross_fit} folds of the train dialogues cannot be made; 0 is none."
        )
    fold = np.full(len(labels), -1)
    for number, part in enumerate(assign_folds(dialogues[rows["train"]], parameters.cross_fit, parameters.seed)):
        fold[rows["train"][np.isin(dialogues[rows["train"]].astype(str), part)]] = number
    return _Task(examples, labels, rows["train"], rows["dev"], fold)


def _facts(corpus: Corpus, base: Extractor, parameters: FineTuneParameters, task: _Task) -> dict[str, Any]:
    """What encoder.json says before anything is trained; `key` is what decides the outcome on one machine."""
    ids = corpus.utterances["utterance_id"].to_numpy(object)
    dialogues = corpus.utterances["dialogue_id"].to_numpy(object)[task.train]
    facts: dict[str, Any] = {
        "format": 1,
        "version": VERSION,
        "modality": base.modality,
        "base": base.identity(),
        "settings": _text_settings(parameters) if base.modality == "text" else {},
        "parameters": parameters.model_dump(mode="json", exclude={"device", "threads", "context"}),
        "emotions": list(corpus.emotions),
        "corpus": corpus.name,
        "train": _digest(ids[task.train].tolist()),
        "labels": _digest(task.labels[task.train].tolist()),
        "dev": _digest([ids[task.dev].tolist(), task.labels[task.dev].tolist()]),
        "dialogues": sorted(set(dialogues)),
        "folds": assign_folds(dialogues, parameters.cross_fit, parameters.seed),
        "licence": f"{base.licence}; fine-tuned on {corpus.name} ({corpus.licence or 'licence unknown'})",
        "commercial": base.commercial,
    }
    items = (
        _digest([corpus.digest()]) if base.modality == "audio" else _digest(task.examples.items(task.train.tolist()))
    )
    key = _digest([facts, items])
    called = partial(dialogue_digest, corpus.name)
    names = {
        "dialogues": [*map(called, facts["dialogues"])],
        "folds": [[*map(called, fold)] for fold in facts["folds"]],
    }
    return {**facts, **names, "format": 2, "key": key}


def _make_part(
    work: Path,
    part: str,
    base: Any,
    task: _Task,
    classes: int,
    parameters: FineTuneParameters,
    log: RunLog,
    progress: bool,
) -> None:
    """Trains and saves one part; `<part>.json` comes last, so a part with it is whole."""
    fold = -1 if part == FULL else int(part.removeprefix("fold-"))
    seen = task.train if part == FULL else task.train[task.fold[task.train] != fold]
    model, report = train_part(
        task.examples, task.labels, seen, task.dev, classes, parameters, log=log, name=part, progress=progress
    )
    folder = work / part
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    for pattern in OTHER_PATTERNS:  # tokenizer and preprocessor come from the base
        for path in base.weights.folder.glob(pattern):
            if not (folder / path.name).exists():
                shutil.copyfile(path, folder / path.name)
    if part != FULL and parameters.align:
        report |= _align(work, folder, seen, base, task, parameters)
    content = locate_weights(str(folder)).revision
    write_atomically(work / f"{part}.json", json.dumps({"content": content, **report}).encode())


def _align(
    work: Path, folder: Path, seen: np.ndarray, base: Any, task: _Task, parameters: FineTuneParameters
) -> dict[str, float]:
    """Fits and saves the rotation; returns the mean cosine to the whole encoder on dev, before and after."""
    from safetensors.numpy import save_file

    learned = seen[:: max(1, len(seen) // ALIGNED_ON)]
    unheard = task.dev[:UNHEARD]
    items = task.examples.items([*learned.tolist(), *unheard.tolist()])
    own, full = (_vectors(place, base, parameters, items) for place in (folder, work / FULL))
    count = len(learned)
    usable = np.isfinite(own[:count]).all(axis=1) & np.isfinite(full[:count]).all(axis=1)
    alignment = fit_alignment(own[:count][usable], full[:count][usable])
    save_file(alignment, folder / ALIGNMENT)
    aligned = apply_alignment(own[count:], alignment)
    return {
        "cosine_before": _cosine(own[count:] - full[count:].mean(axis=0), full[count:] - full[count:].mean(axis=0)),
        "cosine_after": _cosine(aligned - full[count:].mean(axis=0), full[count:] - full[count:].mean(axis=0)),
    }


def _vectors(folder: Path, base: Any, parameters: FineTuneParameters, items: list[Any]) -> np.ndarray:
    settings = _text_settings(parameters) if base.modality == "text" else {}
    kind: Any = type(base)
    vectors: np.ndarray = kind("part", model=str(folder), device=parameters.device, **settings).extract(items)
    return vectors


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.nanmean((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))))


def _published(work: Path, facts: dict[str, Any]) -> EncoderFolder:
    parts = [FULL, *(f"fold-{fold}" for fold in range(len(facts["folds"])))]
    facts["parts"] = {part: json.loads((work / f"{part}.json").read_text()) for part in parts}
    for part in parts:
        (work / f"{part}.json").unlink()
    content = json.dumps(facts, indent=1, sort_keys=True).encode()
    write_atomically(work / "encoder.json", content)
    folder = encoders_directory() / hashlib.sha256(content).hexdigest()
    move_folder(work, folder)
    return open_encoder(folder)


def _reference(encoder: EncoderFolder, *, reused: bool) -> EncoderReference:
    report = encoder.facts["parts"][FULL]
    dev = {name: report[name] for name in ("weighted_f1", "cross_entropy")}
    return EncoderReference(encoder.name, encoder.digest, encoder.folder, encoder.facts["modality"], dev, reused)


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
