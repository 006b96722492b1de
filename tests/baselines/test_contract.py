"""What every compared system must keep, run over all of them."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from hbaf.baselines.contract import (
    AUDIO_DIM,
    EMOTIONS,
    RULES,
    ContractError,
    builder,
    check_system,
    only,
    overfits_eight_dialogues,
    total_loss,
)
from hbaf.baselines.published.bc_lstm import BcLSTM
from hbaf.baselines.systems import FLOORS, SYSTEMS, source, standing
from hbaf.model.build import build_hbaf
from hbaf.parameters import ModelParameters

each_system = pytest.mark.parametrize("name", SYSTEMS)
LEARNERS = [name for name in SYSTEMS if name not in FLOORS]


def build(name, *, dim=16, dropout=0.0, commonsense=True, **settings):
    return builder(SYSTEMS[name], dim=dim, dropout=dropout, **settings)(commonsense=commonsense)


# Its random hiding of modalities is there to prevent what learning by heart asks for.
SMALL = {"m2r2-style": {"hidden": 0.0}}
BY_HEART = overfits_eight_dialogues.__name__


@each_system
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != BY_HEART])
def test_contract(name, rule):
    RULES[rule](builder(SYSTEMS[name], dim=16, dropout=0.0))


@pytest.mark.parametrize("name", LEARNERS)
def test_overfits_eight_dialogues(name):
    RULES[BY_HEART](builder(SYSTEMS[name], dim=32, dropout=0.0, **SMALL.get(name, {})))


@each_system
def test_chance_of_dropout_follows_the_seed(name):
    RULES["chance_follows_the_seed"](builder(SYSTEMS[name], dim=16, dropout=0.3))


def test_hbaf_keeps_it_too():
    small = ModelParameters(dim=32, heads=2, encoder_layers=1, feedforward=32, conv_channels=8, dropout=0.0)
    check_system(partial(build_hbaf, small))


class Broken(BcLSTM):
    """Reads what lies on padding: the mean over all positions."""

    def forward(self, batch):
        output = super().forward(batch)
        return replace(output, logits=output.logits + batch.audio.mean())


class Idle(BcLSTM):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.unused = torch.nn.Linear(2, 2)


class Random(BcLSTM):
    def forward(self, batch):
        output = super().forward(batch)
        return replace(output, logits=output.logits + torch.randn(()))


class Hidden(BcLSTM):
    """What it knows is nowhere in its state."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.drawn = torch.randn(())

    def forward(self, batch):
        output = super().forward(batch)
        return replace(output, logits=output.logits + self.drawn)


class Bare(BcLSTM):
    def forward(self, batch):
        return super().forward(batch).logits


class Forgetful(BcLSTM):
    def forward(self, batch):
        output = super().forward(batch)
        return replace(output, logits=0.0 * output.logits)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Broken, "do not depend on its batch"),
        (Idle, "a gradient reaches every parameter with commonsense features; found unused.weight"),
        (Random, "do not depend on its batch|deterministic"),
        (Hidden, "state_dict holds all"),
        (Bare, "forward gives a SystemOutput; found Tensor"),
        (Forgetful, "a gradient reaches every parameter"),
    ],
)
def test_what_breaks_a_rule_is_told(kind, message):
    with pytest.raises(ContractError, match=message):
        check_system(kind, dim=8)


@pytest.mark.parametrize("name", LEARNERS)
def test_dialogue_matters(name, make_batch):
    """Changing one turn changes what is said of another: no system is a classifier of single utterances."""
    system, batch = build(name), make_batch((6,))
    changed = replace(
        batch, audio=batch.audio.index_add(1, torch.tensor([2]), torch.ones(1, 1, AUDIO_DIM)), text=batch.text.clone()
    )
    changed.text[:, 2] += 1.0
    difference = (system(batch).logits - system(changed).logits).detach().abs().amax(-1)[0]
    assert difference[4] > 1e-6


@each_system
def test_bf16_autocast(name, make_batch):
    system = build(name).train()
    batch = make_batch((5, 3), no_audio=[(0, 1)], no_text=[(1, 0)])
    with torch.autocast("cpu", torch.bfloat16):
        output = system(batch)
        loss = total_loss(output, batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in system.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["cosmic", "dialogue-rnn"])
def test_matching_attention_is_a_choice_that_ignores_padding(name, make_batch):
    batch = make_batch((3, 9))
    without, system = build(name, matching_attention=False), build(name, matching_attention=True)
    assert not without(batch).views
    output = system(batch)
    weights = output.views["attention"]
    assert weights[0, 0, :, 3:].abs().max() == 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, 9))
    torch.testing.assert_close(system(only(batch, 0, 3)).logits[0], output.logits[0, :3], atol=1e-5, rtol=1e-5)


def test_majority_learns_the_shares_of_the_classes(make_batch):
    system, batch = build("majority").train(), make_batch((30, 20))
    optimizer = torch.optim.Adam(system.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        total_loss(system(batch), batch).backward()
        optimizer.step()
    shares = batch.label[batch.mask].bincount(minlength=EMOTIONS) / batch.mask.sum()
    torch.testing.assert_close(system(batch).logits[0, 0].softmax(-1), shares, atol=1e-3, rtol=0)


def test_logistic_regression_sees_one_utterance(make_batch):
    system, batch = build("logistic-regression"), make_batch((4,))
    torch.nn.init.normal_(system.classifier.weight)
    logits = system(batch).logits[0, 2]
    vector = torch.cat([batch.audio[0, 2], batch.text[0, 2]])
    torch.testing.assert_close(logits, system.classifier(vector))


def test_commonsense_that_does_not_come_is_an_error(make_batch):
    batch = replace(make_batch(), commonsense=None)
    with pytest.raises(ValueError, match="built for commonsense features and the batch has none"):
        build("cosmic")(batch)
    assert torch.isfinite(build("cosmic", commonsense=False)(batch).logits).all()


def test_the_table_says_what_is_published_and_what_is_read():
    kinds = {name: standing(name) for name in SYSTEMS}
    assert [name for name, kind in kinds.items() if kind == "floor"] == ["majority", "logistic-regression"]
    assert {name for name, kind in kinds.items() if kind == "reading"} == {
        "m2fnet-style",
        "hgraph-cl-style",
        "agf-ib-style",
        "m2r2-style",
        "mamba-style",
    }
    assert all(name.endswith("-style") == (kind == "reading") for name, kind in kinds.items())
    assert all(source(name) for name in SYSTEMS)
    with pytest.raises(KeyError, match="there are majority"):
        standing("hbaf")


@pytest.mark.parametrize("name", ["sdt", "m2fnet-style", "telme", "hgraph-cl-style"])
def test_widths_that_do_not_divide_are_errors(name):
    with pytest.raises(ValueError, match="divisible by heads"):
        build(name, heads=3)
