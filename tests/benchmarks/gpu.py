"""What a GPU makes of training, trials and encoders, beside its own matrix peak: within eight minutes, no network.

make bench-gpu                                       # writes build/gpu.json, which docs/benchmarks.md takes
python -m tests.benchmarks.gpu --device cpu --tiny   # the same steps in half a minute, for a machine without one
"""

import argparse
import json
import multiprocessing
import platform
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hbaf.model.build import build_hbaf
from hbaf.model.hbaf import HBAF
from hbaf.training.data import LengthBuckets
from hbaf.training.fit import seed_everything
from tests.benchmarks.test_training import (
    AUDIO,
    COMMONSENSE,
    EMOTIONS,
    TEXT,
    OfLength,
    dialogue,
    epoch_seconds,
    iemocap_lengths,
    matrix_peak,
    meld_lengths,
    operations,
    seconds,
    waiting_for,
)

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
TRIAL_EPOCHS = 30  # of a search: what a median pruner leaves of a run


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        width: of HBAF.
        dialogues: at most, of each corpus.
        peak: side of the square matrices of the peak.
        workers: processes that train on the card together.
        encoder: hidden size, layers, heads and inner size of a text encoder.
        texts, tokens: of one batch.
        compiled: backend of `torch.compile`.
    """

    width: int = 512
    dialogues: int = 10_000
    peak: int = 8192
    workers: tuple[int, ...] = (1, 2, 4)
    encoder: tuple[int, int, int, int] = (1024, 24, 16, 4096)  # roberta-large
    texts: int = 256
    tokens: int = 32
    compiled: str = "inductor"


TINY = Sizes(16, 6, 128, (1, 2), (32, 2, 2, 64), 4, 8, "eager")


def system(width: int) -> HBAF:
    """HBAF with fresh weights."""
    seed_everything(0)
    sizes: dict[str, Any] = {"audio_dim": AUDIO, "text_dim": TEXT, "commonsense_dim": COMMONSENSE}
    small = {} if width == Sizes.width else {"dim": width, "heads": 2, "feedforward": 2 * width, "conv_channels": 8}
    from hbaf.parameters import ModelParameters

    return build_hbaf(ModelParameters(**small), **sizes, emotions=len(EMOTIONS))


def batches_of(name: str, sizes: Sizes) -> tuple[np.ndarray, list[Any], list[list[int]]]:
    """Lengths, made-up dialogues and the batches of an epoch."""
    lengths = (iemocap_lengths() if name == "IEMOCAP" else meld_lengths())[: sizes.dialogues]
    random = np.random.default_rng(0)
    dialogues = [dialogue(int(turns), random) for turns in lengths]
    return lengths, dialogues, list(LengthBuckets(lengths, 16 if sizes.dialogues > 100 else 2, seed=0))


def training(device: str, sizes: Sizes) -> dict[str, Any]:
    """Seconds an epoch, share of the peak and peak memory, by corpus and precision."""
    build = partial(system, sizes.width)
    of_length, found = OfLength(build), {}
    for name in ("MELD", "IEMOCAP"):
        lengths, dialogues, batches = batches_of(name, sizes)
        work = operations(of_length, lengths, batches, sizes.width)
        for label, precision, compiled in (
            ("fp32", "fp32", ""), ("bf16", "bf16", ""), ("bf16 compiled", "bf16", sizes.compiled),
        ):  # fmt: skip
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            took = epoch_seconds(dialogues, batches, precision, build, device, compiled)
            peak = matrix_peak(PRECISIONS[precision], device, sizes.peak)
            memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None
            found[f"{name} {label}"] = {
                "seconds_an_epoch": took, "utterances_per_second": int(lengths.sum()) / took,
                "share_of_peak": work / took / peak, "peak_gflops": peak / 1e9, "peak_megabytes": memory,
            }  # fmt: skip
            told(f"{name} {label}", found[f"{name} {label}"])
    return found


def train_for(device: str, sizes: Sizes, begin: Any, done: Any) -> None:
    """One worker: an epoch of MELD's lengths, at the same time as the others."""
    torch.set_num_threads(1)
    _, dialogues, batches = batches_of("MELD", sizes)
    build = partial(system, sizes.width)
    epoch_seconds(dialogues, batches[:1], "bf16", build, device)
    begin.wait()
    done.put(epoch_seconds(dialogues, batches, "bf16", build, device))


def trials(device: str, sizes: Sizes) -> dict[str, Any]:
    """Trials of a search per hour on one card, by how many processes share it."""
    context, found = multiprocessing.get_context("spawn"), {}
    for workers in sizes.workers:
        begin, done = context.Barrier(workers), context.Queue()
        processes = [context.Process(target=train_for, args=(device, sizes, begin, done)) for _ in range(workers)]
        for process in processes:
            process.start()
        epochs = [done.get(timeout=300) for _ in processes]
        for process in processes:
            process.join()
        found[f"{workers} workers"] = {
            "seconds_an_epoch": max(epochs), "trials_an_hour": 3600 * workers / (TRIAL_EPOCHS * max(epochs)),
        }  # fmt: skip
        told(f"{workers} workers", found[f"{workers} workers"])
    return found


def encoder(device: str, sizes: Sizes) -> dict[str, Any]:
    """Texts per second of an encoder of roberta-large's shape in bf16, without padding."""
    from transformers import RobertaConfig, RobertaModel

    hidden, layers, heads, inner = sizes.encoder
    config = RobertaConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
        vocab_size=1000, max_position_embeddings=130,
    )  # fmt: skip
    model = RobertaModel(config, add_pooling_layer=False).eval().to(device, torch.bfloat16)
    texts = torch.randint(3, 1000, (sizes.texts, sizes.tokens), device=device)
    with torch.inference_mode():
        took = seconds(lambda: model(texts), wait=waiting_for(device))
    weights = sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "embeddings" not in name)
    attention = 4 * layers * sizes.tokens * hidden  # two products with each of the other tokens
    work = (2 * weights + attention) * sizes.texts * sizes.tokens
    peak = matrix_peak(torch.bfloat16, device, sizes.peak)
    found = {"texts_per_second": sizes.texts / took, "share_of_peak": work / took / peak, "peak_gflops": peak / 1e9}
    told("encoder", found)
    return found


def told(name: str, figures: dict[str, Any]) -> None:
    """Prints a line as soon as there is one."""
    text = ", ".join(f"{key} {value:.3g}" for key, value in figures.items() if value is not None)
    print(f"{name}: {text}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="sizes that end in seconds")
    parser.add_argument("--output", type=Path, default=Path("build/gpu.json"))
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: `--device cpu --tiny` runs the same steps", file=sys.stderr)
        return 2
    sizes, began = TINY if asked.tiny else Sizes(), time.monotonic()
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if asked.device == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__, "sizes": asdict(sizes),
    }  # fmt: skip
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    for name, part in (("training", training), ("trials", trials), ("encoder", encoder)):
        found[name] = part(asked.device, sizes)
        found["seconds"] = round(time.monotonic() - began)
        asked.output.write_text(json.dumps(found, indent=1))  # what is there already is kept if a later part fails
    print(f"{asked.output}, {found['seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
