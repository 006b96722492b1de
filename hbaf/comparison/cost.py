"""What a set of comparisons will cost on this machine: hours from a timed step, disk, downloads. Nothing is trained."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from hbaf.comparison.bench import default_workers
from hbaf.comparison.reproduce import Part
from hbaf.comparison.systems import Entrant, parse_systems
from hbaf.corpus.schema import Corpus
from hbaf.features.audio.window_networks import NETWORKS
from hbaf.model.batch import DialogueBatch
from hbaf.parameters import FeatureParameters, ModelParameters, TrainingParameters

TYPICAL_EPOCHS = 30  # with patience 15; the upper figure is `max_epochs`
STEPS = 2
TIMED_DIALOGUES = 8  # in a timed batch; a CPU takes time by the dialogue
MEGABYTE = 1e6
# Numbers an utterance, by extractor: what a column takes on disk, 4 bytes each.
WIDTHS = {
    "compare2016": 6373, "egemaps": 88, "mfcc": 266, "minilm": 384, "roberta-large": 1024, "comet": 3072,
    "wav2vec2": 768, "data2vec-audio": 768, **{name: network.dim for name, network in NETWORKS.items()},
}  # fmt: skip
# Utterances a second and core, docs/representations.md; those without a measurement there are estimates by size.
SPEEDS = {
    "compare2016": 25.0, "egemaps": 22.0, "mfcc": 119.0, "minilm": 251.0, "wav2vec2": 1.9, "data2vec-audio": 1.9,
    "roberta-large": 8.0, "comet": 3.0, "vggish": 10.0, "openl3": 0.08,
}  # fmt: skip
# Weights on the hub, bytes of the file that is fetched.
DOWNLOADS = {
    "roberta-large": ("FacebookAI/roberta-large", 1.42e9),
    "comet": ("mismayil/comet-bart-ai2", 1.63e9),
    "wav2vec2": ("facebook/wav2vec2-base-960h", 0.38e9),
    "data2vec-audio": ("facebook/data2vec-audio-base-960h", 0.37e9),
}
UNKNOWN_WIDTH, UNKNOWN_SPEED = 768, 2.0


@dataclass(frozen=True)
class Cost:
    """What a comparison will cost, before anything runs.

    Attributes:
        hours, most_hours: of training, at `TYPICAL_EPOCHS` and at `max_epochs`.
        extraction_hours: of all columns.
        disk: bytes that stay.
        downloads: model -> bytes, of what is not on this machine.
        seconds_a_step: system -> of one batch, forward and backward, as timed here.
    """

    runs: int
    hours: float
    most_hours: float
    extraction_hours: float
    disk: float
    downloads: dict[str, float]
    seconds_a_step: dict[str, float]
    workers: int

    def lines(self) -> list[str]:
        """What `--dry-run` prints, a line each; disk and downloads in GB (10^9 bytes)."""
        fetched = ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in self.downloads.items())
        slowest = sorted(self.seconds_a_step.items(), key=lambda pair: -pair[1])[:3]
        return [
            f"{self.runs} runs, {self.workers} at a time on this machine",
            f"training: about {self.hours:.1f} h at {TYPICAL_EPOCHS} epochs a run, at most {self.most_hours:.1f} h; "
            "from one timed batch of each system",
            f"slowest: {', '.join(f'{name} {seconds:.2f} s a batch' for name, seconds in slowest)}",
            f"extraction: about {self.extraction_hours:.1f} h",
            f"disk: about {self.disk / 1e9:.1f} GB",
            f"downloads: {fetched or 'none'}",
        ]


def cost_of(
    parts: Sequence[Part],
    corpus: Corpus,
    features: FeatureParameters,
    model: ModelParameters,
    training: TrainingParameters,
    workers: int | None,
) -> Cost:
    """Times a part of a batch of every system, at the width asked for, with the corpus's own numbers of turns."""
    several = workers or default_workers()
    lengths = corpus.in_split("train").groupby("dialogue_id").size().to_numpy()
    steps = -(-len(lengths) // training.batch_dialogues)
    commonsense = features.commonsense
    dims = {
        "audio_dim": min(_width(features.audio), features.select or 10**6),
        "text_dim": _width(features.text),
        "commonsense_dim": _width(commonsense) // 3 if commonsense else None,
        "emotions": max(2, len(corpus.emotions)),
    }
    timed = lengths[: min(TIMED_DIALOGUES, training.batch_dialogues)]
    batch, share = made_up_batch(timed, dims), min(training.batch_dialogues, len(lengths)) / len(timed)
    seconds: dict[str, float] = {}
    sizes: dict[str, int] = {}
    runs, total, packages = 0, 0.0, 0.0
    for part in parts:
        trials = part.asked.trials if part.asked.trials > 1 else 0
        for entrant in parse_systems(part.asked.systems):
            name = "hbaf" if entrant.is_hbaf else entrant.name  # no variant costs more than the whole
            if name not in seconds:
                of_batch, sizes[name] = time_step(parse_systems(name)[0], dims, model, batch)
                seconds[name] = share * of_batch
            times = len(part.asked.audio) * ((entrant.seeds or part.asked.seeds) + trials)
            runs += times
            packages += times * 4 * sizes[name] if entrant.is_hbaf else 0
            total += times * steps * seconds[name]
    named = {name for part in parts for name in (*part.asked.audio, *part.asked.text)} | ({commonsense} - {None})
    utterances = len(corpus.utterances)
    predictions = runs * utterances * 4 * (len(corpus.emotions) + 8)
    columns = sum(utterances * 4 * _width(name) for name in named)
    return Cost(
        runs=runs,
        hours=total * min(TYPICAL_EPOCHS, training.max_epochs) / several / 3600,
        most_hours=total * training.max_epochs / several / 3600,
        extraction_hours=sum(utterances / SPEEDS.get(name, UNKNOWN_SPEED) for name in named if name) / several / 3600,
        disk=columns + packages + predictions,
        downloads=downloads(sorted(name for name in named if name)),
        seconds_a_step=seconds,
        workers=several,
    )


def time_step(
    entrant: Entrant, dims: dict[str, int | None], model: ModelParameters, batch: DialogueBatch
) -> tuple[float, int]:
    """Seconds of one training step on this machine, and the system's parameters."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    system = entrant.build(dict(dims), model).to(device).train()
    batch = batch.to(device)
    taken = []
    for _ in range(STEPS):
        began = time.perf_counter()
        output = system(batch)
        loss = F.cross_entropy(output.logits.flatten(0, 1), batch.label.flatten(), ignore_index=-1)
        (loss + sum(output.losses.values())).backward()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return min(taken), sum(p.numel() for p in system.parameters())


def made_up_batch(lengths: np.ndarray, dims: dict[str, int | None]) -> DialogueBatch:
    """Dialogues of these lengths with random numbers."""
    draw = torch.Generator().manual_seed(0)
    turns = int(lengths.max())
    mask = torch.arange(turns)[None] < torch.tensor(lengths)[:, None]
    shape = (len(lengths), turns)
    commonsense = dims["commonsense_dim"]
    return DialogueBatch(
        audio=torch.randn(*shape, int(dims["audio_dim"] or 1), generator=draw) * mask[..., None],
        text=torch.randn(*shape, int(dims["text_dim"] or 1), generator=draw) * mask[..., None],
        commonsense=None if commonsense is None else torch.randn(*shape, 3, commonsense, generator=draw),
        mask=mask,
        has_audio=mask,
        has_text=mask,
        speaker=(torch.arange(turns) % 2).expand(shape) * mask,
        label=torch.randint(int(dims["emotions"] or 2), shape, generator=draw).masked_fill(~mask, -1),
    )


def downloads(names: Sequence[str]) -> dict[str, float]:
    """Model -> bytes, of the weights that are not on this machine yet."""
    from hbaf.features.weights import WeightsError, locate_weights

    found = {}
    for name in names:
        if name in DOWNLOADS:
            model, size = DOWNLOADS[name]
            try:
                locate_weights(model, download=False)
            except WeightsError:
                found[model] = size
    return found


def _width(name: str | None) -> int:
    return WIDTHS.get(name or "", UNKNOWN_WIDTH)
