"""Training beside the code that the authors of DialogueRNN, COSMIC, MMGCN and SDT published, both in one run.

    git clone https://github.com/declare-lab/conv-emotion published/conv-emotion
    git clone https://github.com/hujingwen6666/MMGCN published/MMGCN
    git clone https://github.com/butterfliesss/SDT published/SDT
    pip install torch_geometric ipdb  # imported by MMGCN's code, not used
    HBAF_PUBLISHED=$PWD/published make bench BENCH=published

Theirs is the training function of their own script with their model, loss, optimiser and collation. Only the features
are made up, and two things are as they were made for: `Tensor.cuda`, which two of them call on any machine, gives the
tensor, and an array of NumPy is an index for each dimension, as in torch 1. Ours is the step that `fit` makes, padding
included. Both get the same dialogues, in batches of the same number, the same widths, dropout and threads: *own
batches* are ours of like length, *same batches* those of a plain shuffle, as their scripts draw them.

What is not the same: MMGCN's graph is 100 wide there (its classifier allows nothing else) and 200 here; SDT has three
modalities and nine transformers there, audio and text and four transformers here. The ratio of operations says how much
of the speed that is.
"""

import importlib
import os
import statistics
import sys
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from hbaf.baselines.systems import SYSTEMS
from hbaf.parameters import TrainingParameters
from hbaf.training.data import Dialogue, LengthBuckets
from tests.benchmarks.test_training import (
    AUDIO,
    COMMONSENSE,
    EMOTIONS,
    TEXT,
    THREADS,
    dialogue,
    iemocap_lengths,
    meld_lengths,
    training_step,
)

SETTING = "HBAF_PUBLISHED"
VISUAL = 342
ROUNDS = 3
Load = Callable[[str, str], ModuleType]


@dataclass(frozen=True)
class Lengths:
    """A corpus as far as speed depends on it.

    Attributes:
        parties: columns of the published loaders' mask of speakers.
        batches: that are measured.
    """

    name: str
    turns: np.ndarray
    parties: int
    batches: int


CORPORA = (Lengths("IEMOCAP", iemocap_lengths(), 2, 1), Lengths("MELD", meld_lengths(), 9, 4))


@dataclass(frozen=True)
class Pair:
    """The same system twice.

    Attributes:
        epoch: trains the published one on what a loader gives, once.
        as_item: a dialogue as the published dataset gives it.
        collate: the published dataset's.
        model: the published one.
        ours: settings of the system of this name.
        batch: dialogues, as the published script has it.
    """

    epoch: Callable[[DataLoader], object]
    as_item: Callable[[Dialogue], tuple[Any, ...]]
    collate: Callable[[Any], list[Any]]
    model: nn.Module
    ours: dict[str, Any]
    batch: int


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports a script of the published code; skips, and says why, where it cannot."""
    root = os.environ.get(SETTING)
    if not root:
        pytest.skip(f"{SETTING} names no folder with the published code; the head of this file says how to get it")
    set_item = torch.Tensor.__setitem__

    def set_by_array(tensor: torch.Tensor, index: Any, value: Any) -> None:
        set_item(tensor, tuple(index) if isinstance(index, np.ndarray) else index, value)

    monkeypatch.setattr(torch.Tensor, "__setitem__", set_by_array)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # two scripts set it

    def script(folder: str, name: str) -> ModuleType:
        place = Path(root, folder).resolve()
        if not (place / f"{name}.py").is_file():
            pytest.skip(f"{SETTING} has no {folder}/{name}.py")
        monkeypatch.syspath_prepend(place)
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            pytest.skip(f"{folder} imports {error.name}, which is not installed")
        # What the scripts set below `if __name__ == "__main__"` and their training functions read.
        vars(module).update(cuda=False, seed=0)
        module.args = Namespace(tensorboard=False, multi_modal=True, mm_fusion_mthd="concat_subsequently")
        return module

    yield script
    for name, module in list(sys.modules.items()):  # all four call their modules `model` and `dataloader`
        if str(getattr(module, "__file__", "")).startswith(str(Path(root).resolve())):
            del sys.modules[name]


def item(made: Dialogue, parties: int, *, joined: bool = False, visual: int = 1) -> tuple[Any, ...]:
    """Text, visual, audio, speakers, mask, labels and name, as the IEMOCAP datasets of all four have them."""
    text, audio = torch.from_numpy(made.text), torch.from_numpy(made.audio)
    return (
        torch.cat([audio, text], 1) if joined else text,
        torch.zeros(len(made), visual),
        audio,
        *others(made, parties),
    )


def others(made: Dialogue, parties: int) -> tuple[Any, ...]:
    speaks = torch.eye(parties)[torch.from_numpy(made.speaker)]
    return speaks, torch.ones(len(made)), torch.from_numpy(made.label), made.dialogue_id


def dialogue_rnn(load: Load, corpus: Lengths, wide: int = 150, narrow: int = 100) -> Pair:
    """Widths of its MELD script; its IEMOCAP script has 500 and 300."""
    script = load("conv-emotion/DialogueRNN", "train_IEMOCAP")
    model = script.BiModel(
        AUDIO + TEXT, wide, wide, narrow, narrow, n_classes=len(EMOTIONS), context_attention="general",
        dropout_rec=0.1, dropout=0.1,
    )  # fmt: skip
    learn = (model, script.MaskedNLLLoss())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-5)
    return Pair(
        lambda loader: script.train_or_eval_model(*learn, loader, 0, optimiser, True),
        partial(item, parties=corpus.parties, joined=True),
        partial(script.IEMOCAPDataset.collate_fn, None),
        model,
        {"dim": wide, "emotion_dim": narrow},
        30,
    )


def cosmic(load: Load, corpus: Lengths) -> Pair:
    """States of 150, utterance and emotion of 100; attention over all turns and BatchNorm on IEMOCAP alone."""
    iemocap = corpus.name == "IEMOCAP"
    script = load("conv-emotion/COSMIC/erc-training", "train_iemocap" if iemocap else "train_meld")
    rate, batch = (0.25, 16) if iemocap else (0.5, 8)
    model = script.CommonsenseGRUModel(
        AUDIO + TEXT, COMMONSENSE, 150, 150, 150, 150, 100, 100, 100, n_classes=len(EMOTIONS),
        context_attention="simple", dropout_rec=0.1 if iemocap else 0.5, dropout=rate, mode1=2,
        norm=3 if iemocap else 0,
    )  # fmt: skip
    learn = (model, script.MaskedNLLLoss())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=3e-4)

    def as_item(made: Dialogue) -> tuple[Any, ...]:
        utterance = torch.from_numpy(np.concatenate([made.audio, made.text], 1))
        inferred = [torch.from_numpy(made.commonsense[:, number % 3]) for number in range(9)]
        return *[utterance] * 4, *inferred, *others(made, corpus.parties)

    dataset = script.IEMOCAPRobertaCometDataset if iemocap else script.MELDRobertaCometDataset
    return Pair(
        lambda loader: script.train_or_eval_model(*learn, loader, 0, optimiser, True),
        as_item,
        partial(dataset.collate_fn, None),
        model,
        {"dim": 150, "emotion_dim": 100, "dropout": rate, "matching_attention": iemocap},
        batch,
    )


def mmgcn(load: Load, corpus: Lengths, layers: int = 4) -> Pair:
    """The 4 layers of the publication; its code makes 64, whatever its script is told."""
    script = load("MMGCN", "train")
    model = script.DialogueGCNModel(
        "LSTM", TEXT, 150, 150, 100, 100, 100, 100, n_speakers=corpus.parties, max_seq_len=200, window_past=10,
        window_future=10, n_classes=len(EMOTIONS), dropout=0.4, graph_type="MMGCN", graph_construct="direct",
        D_m_v=VISUAL, D_m_a=AUDIO, modals="al", att_type="concat_subsequently", use_residue=True, no_cuda=True,
    )  # fmt: skip
    graph = model.graph_model.graph_net
    graph.convs = graph.convs[:layers]
    loss = nn.NLLLoss() if corpus.name == "IEMOCAP" else script.FocalLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-4, weight_decay=3e-5)
    return Pair(
        lambda loader: script.train_or_eval_graph_model(model, loss, loader, 0, False, "al", optimiser, True),
        partial(item, parties=corpus.parties),
        partial(script.IEMOCAPDataset.collate_fn, None),
        model,
        {"dim": 200, "dropout": 0.4, "layers": layers},
        16,
    )


def sdt(load: Load, corpus: Lengths) -> Pair:
    """Width 1024 and 8 heads."""
    script = load("SDT", "train")
    model = script.Transformer_Based_Model(
        corpus.name, 1, TEXT, VISUAL, AUDIO, 8, n_classes=len(EMOTIONS), hidden_dim=1024, n_speakers=corpus.parties,
        dropout=0.5,
    )  # fmt: skip
    learn = (model, script.MaskedNLLLoss(), script.MaskedKLDivLoss())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-5)
    return Pair(
        lambda loader: script.train_or_eval_model(*learn, loader, 0, optimiser, True),
        partial(item, parties=corpus.parties, visual=VISUAL),
        partial(script.IEMOCAPDataset.collate_fn, None),
        model,
        {"dim": 1024, "dropout": 0.5},
        16 if corpus.name == "IEMOCAP" else 8,
    )


PAIRS: dict[str, tuple[str, Callable[[Load, Lengths], Pair], float]] = {
    "DialogueRNN": ("dialogue-rnn", dialogue_rnn, 5),
    "DialogueRNN of width 500": ("dialogue-rnn", partial(dialogue_rnn, wide=500, narrow=300), 5),
    "COSMIC": ("cosmic", cosmic, 5),
    "MMGCN": ("mmgcn", mmgcn, 2),
    "MMGCN of 64 layers": ("mmgcn", partial(mmgcn, layers=64), 2),
    "SDT": ("sdt", sdt, 2),
}


def taken(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def operations(work: Callable[[], object]) -> int:
    """Of matrix products, forward and backward, by torch's counter, which does not know an LSTM's kernel."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("corpus", CORPORA, ids=[corpus.name for corpus in CORPORA])
@pytest.mark.parametrize("system", PAIRS)
def test_training_beside_the_published_code(load: Load, system: str, corpus: Lengths) -> None:
    name, pair_of, goal = PAIRS[system]
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    pair = pair_of(load, corpus)
    turns = random.permutation(corpus.turns)[: corpus.batches * pair.batch]
    dialogues = [dialogue(int(length), random) for length in turns]

    def ours() -> nn.Module:
        return SYSTEMS[name](
            audio_dim=AUDIO, text_dim=TEXT, commonsense_dim=COMMONSENSE, emotions=len(EMOTIONS), **pair.ours
        )

    step = training_step(ours, TrainingParameters())

    def here(batches: list[list[int]]) -> None:
        for batch in batches:
            step([dialogues[number] for number in batch])

    def there(batches: list[list[int]]) -> None:
        items = [pair.as_item(made) for made in dialogues]
        pair.epoch(DataLoader(items, batch_sampler=batches, collate_fn=pair.collate))  # type: ignore[arg-type]

    shuffled = np.arange(len(dialogues)).reshape(corpus.batches, -1).tolist()
    works = {
        "there": partial(there, shuffled),
        "here, own batches": partial(here, list(LengthBuckets(turns, pair.batch, seed=0))),
        "here, same batches": partial(here, shuffled),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old code on new libraries
        counted = operations(partial(there, [[0, 1, 2, 3]])) / operations(partial(here, [[0, 1, 2, 3]]))
        times = [{label: taken(work) for label, work in works.items()} for _ in range(ROUNDS)]
    print(
        f"\n{system}, {corpus.name}'s lengths: {len(dialogues)} dialogues, {turns.sum()} utterances, batches of "
        f"{pair.batch}, {THREADS} threads; goal {goal}; matrix products there {counted:.2f} times those here"
    )
    for label in works:
        rate = statistics.median(turns.sum() / one[label][0] for one in times)
        clock, processor = (statistics.median(one["there"][i] / one[label][i] for one in times) for i in range(2))
        print(f"  {label}: {rate:.0f} utterances a second, {clock:.1f} times theirs; {processor:.1f} in processor time")
