"""Training at the paper's width as a share of the matrix-product peak, and what batches of like length save.

Counted are the floating-point operations of the model on real utterances, forward and backward: torch's counter on
single dialogues without padding, the LSTM by its weights, and the comparisons of the contrastive terms between
dialogues. So padding, element-wise work, optimiser and data loading all lower the share.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hbaf.model.build import build_hbaf
from hbaf.model.hbaf import HBAF
from hbaf.parameters import TrainingParameters
from hbaf.training.data import Dialogue, LengthBuckets, collate, padding_share
from hbaf.training.fit import SystemTraining, seed_everything

EMOTIONS = tuple("abcdefg")
AUDIO, TEXT, COMMONSENSE, WIDTH = 512, 1024, 768, 512
Build = Callable[[], HBAF]
PEAK_SIZE = 2048  # of the square matrices whose product is the peak
THREADS = torch.get_num_threads()


# Dialogues of 1, 2, ... 24 utterances in MELD's train split.
MELD = (70, 60, 54, 48, 67, 61, 74, 67, 50, 57, 55, 54, 36, 41, 43, 51, 30, 28, 27, 20, 20, 13, 7, 5)


def iemocap_lengths() -> np.ndarray:
    """120 train dialogues, 49 utterances in the mean, 110 at most, as the field reports of IEMOCAP."""
    lengths = np.random.default_rng(0).normal(46.9, 17, 120).round().clip(8, 110).astype(int)
    lengths[0] = 110
    return lengths


def meld_lengths() -> np.ndarray:
    """Every second train dialogue of MELD, 9.6 utterances in the mean."""
    return np.repeat(np.arange(1, len(MELD) + 1), MELD)[::2]


def dialogue(turns: int, random: np.random.Generator) -> Dialogue:
    def vectors(*shape: int) -> np.ndarray:
        return random.standard_normal((turns, *shape), np.float32)

    present = np.ones(turns, dtype=bool)
    return Dialogue(
        dialogue_id="",
        utterance_ids=("",) * turns,
        audio=vectors(AUDIO),
        text=vectors(TEXT),
        commonsense=vectors(3, COMMONSENSE),
        has_audio=present,
        has_text=present,
        speaker=np.arange(turns) % 2,
        label=random.integers(0, len(EMOTIONS), turns),
    )


def full_width() -> HBAF:
    seed_everything(0)
    return build_hbaf(audio_dim=AUDIO, text_dim=TEXT, commonsense_dim=COMMONSENSE, emotions=len(EMOTIONS))


def seconds(step: Any, at_least: float = 1.0, wait: Any = lambda: None) -> float:
    """The least of as many runs as fit into the time, two at least.

    Args:
        wait: for the device that the step was given to.
    """
    times: list[float] = []
    while len(times) < 2 or sum(times) < at_least:
        began = time.perf_counter()
        step()
        wait()
        times.append(time.perf_counter() - began)
    return min(times)


def waiting_for(device: str) -> Any:
    """What returns when the device has done what it was given."""
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def matrix_peak(dtype: torch.dtype, device: str = "cpu", size: int = PEAK_SIZE) -> float:
    """Operations per second of one large matrix product, with the threads that training has."""
    a, b = torch.randn(2, size, size, device=device).to(dtype)
    return 2 * size**3 / seconds(lambda: a @ b, wait=waiting_for(device))


def counted(turns: int, build: Build = full_width) -> int:
    """Operations of one dialogue without padding, forward and backward, by torch's counter.

    It does not know the fused kernel of the LSTM: 2 operations for each weight and turn, forward and twice backward.
    """
    system = build().eval()
    batch = collate([dialogue(turns, np.random.default_rng(0))])
    counter = FlopCounterMode(display=False)
    with counter:
        output = system(batch)
        (output.logits.sum() + sum(output.losses.values())).backward()
    assert not any("rnn" in str(operation) for operation in counter.get_flop_counts()["Global"])
    lstm = sum(weight.numel() for weight in system.audio_context.lstm.parameters() if weight.dim() == 2)
    return counter.get_total_flops() + 3 * 2 * lstm * turns


class OfLength:
    """Operations by number of turns: a polynomial of degree two through four counts."""

    def __init__(self, build: Build = full_width) -> None:
        turns = np.array([2, 6, 12, 20])
        counts = np.array([counted(int(t), build) for t in turns], dtype=float)
        self.factors = np.polyfit(turns, counts, 2)
        assert np.allclose(np.polyval(self.factors, turns), counts, rtol=1e-6)

    def __call__(self, turns: np.ndarray) -> float:
        return float(np.polyval(self.factors, turns).sum())


def operations(of_length: OfLength, lengths: np.ndarray, batches: list[list[int]], width: int = WIDTH) -> float:
    """Of one epoch. The contrastive terms compare every utterance of a batch with every other: 3 products of (K, D) and
    (D, K), forward and twice backward; those inside a dialogue are in its own count."""
    between = sum(int(lengths[batch].sum()) ** 2 - int((lengths[batch] ** 2).sum()) for batch in batches)
    return of_length(lengths) + 3 * 3 * 2 * width * between


def training_step(
    build: Callable[[], Any], training: TrainingParameters, device: str = "cpu", compiled: str = ""
) -> Callable[[Sequence[Dialogue]], None]:
    """One step as `fit` does it, without Lightning: padding, forward, backward and optimiser.

    Args:
        compiled: backend of `torch.compile`; "": not compiled.
    """
    system = build().train().to(device)
    if compiled:
        system.compile(backend=compiled, dynamic=True)
    module = SystemTraining(system, emotions=EMOTIONS, training=training)
    optimiser = module.configure_optimizers()

    def step(batch: Sequence[Dialogue]) -> None:
        padded = collate(batch).to(device)
        with torch.autocast(device, torch.bfloat16, enabled=training.precision == "bf16"):
            loss = module.training_step(padded, 0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def epoch_seconds(
    dialogues: list[Dialogue],
    batches: list[list[int]],
    precision: str,
    build: Build = full_width,
    device: str = "cpu",
    compiled: str = "",
) -> float:
    """One epoch of `training_step`; after one warm-up."""
    step = training_step(build, TrainingParameters(precision=precision), device, compiled)
    for batch in batches[:: max(1, len(batches) - 1)] if compiled else batches[:1]:
        step([dialogues[number] for number in batch])
    waiting_for(device)()
    began = time.perf_counter()
    for batch in batches:
        step([dialogues[number] for number in batch])
    waiting_for(device)()
    return time.perf_counter() - began


@pytest.fixture(scope="module")
def of_length() -> OfLength:
    return OfLength()


@pytest.mark.benchmark
@pytest.mark.parametrize("corpus", ["IEMOCAP", "MELD"])
def test_share_of_peak(corpus: str, of_length: OfLength) -> None:
    lengths = iemocap_lengths() if corpus == "IEMOCAP" else meld_lengths()
    random = np.random.default_rng(0)
    dialogues = [dialogue(int(turns), random) for turns in lengths]
    size = TrainingParameters().batch_dialogues
    parameters = sum(p.numel() for p in full_width().parameters())
    print(f"\n{corpus}: {len(lengths)} dialogues, {lengths.mean():.1f} turns in the mean, {lengths.max()} at most; "
          f"{parameters / 1e6:.1f} M parameters, {THREADS} threads")  # fmt: skip
    took = {}
    # A pool of one batch is the plain shuffle that every loader has.
    for name, settings in (("bucketed", {}), ("unbucketed", {"pool": 1})):
        batches = list(LengthBuckets(lengths, size, seed=0, **settings))
        work = operations(of_length, lengths, batches)
        print(f"  {name}: padding {padding_share(dialogues, batches):.1%}")
        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            peak = matrix_peak(dtype)
            took[name, precision] = epoch_seconds(dialogues, batches, precision)
            peak, rate = max(peak, matrix_peak(dtype)), work / took[name, precision]
            print(f"    {precision}: {took[name, precision]:.2f} s an epoch, {rate / 1e9:.0f} GFLOP/s beside a peak of "
                  f"{peak / 1e9:.0f}: {rate / peak:.2f}")  # fmt: skip
    for precision in ("fp32", "bf16"):
        gain = took["unbucketed", precision] / took["bucketed", precision]
        print(f"  {precision}: {gain:.2f} times the speed of the same model unbucketed")
