"""What both modalities and each alone say in one go is what three forward passes say, whatever is set."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from hbaf.model.batch import DialogueBatch
from hbaf.model.each_way import each_way
from hbaf.model.ensemble import Ensemble
from hbaf.model.label_chain import Chained, LabelChain
from tests.model.conftest import EMOTIONS, BatchMaker, ModelMaker
from tests.model.test_hbaf import DECISIONS, each_decision


def spoken(make_batch: BatchMaker) -> DialogueBatch:
    """Two dialogues of each of two lengths, with other speakers, without labels, each modality missing somewhere."""
    batch = make_batch((5, 3, 5, 3, 1), no_audio=[(0, 1), (1, 0)], no_text=[(0, 1), (2, 4)])
    turns = torch.arange(5)
    speaker = torch.where(batch.mask, torch.stack([turns % 2, turns % 2, turns % 3, turns * 0, turns * 0]), 0)
    return replace(batch, speaker=speaker, label=torch.full_like(batch.label, -1))


def assert_same(system: nn.Module, batch: DialogueBatch) -> None:
    with torch.inference_mode():
        found = each_way(system, batch)
        expected = [system(one) for one in (batch, batch.without("text"), batch.without("audio"))]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.logits[batch.mask], other.logits[batch.mask], atol=1e-5, rtol=1e-5)
        assert one.views.keys() == other.views.keys()
        for name in one.views:
            view, as_expected = (output.views[name].movedim(-2, 1)[batch.mask] for output in (one, other))
            torch.testing.assert_close(view, as_expected, atol=1e-5, rtol=1e-5)


@each_decision
def test_one_go_is_three_passes(settings: dict[str, object], make_model: ModelMaker, make_batch: BatchMaker) -> None:
    assert_same(make_model(**settings), spoken(make_batch))


@pytest.mark.parametrize("causal", [False, True])
def test_members_and_chain(causal: bool, make_model: ModelMaker, make_batch: BatchMaker) -> None:
    members = Ensemble([make_model(**DECISIONS["every addition"], speaker_embedding=True) for _ in range(2)])
    for weight in members.members[1].parameters():
        weight.data.mul_(1.1)
    chain = LabelChain(EMOTIONS, causal=causal)
    chain.own.copy_((torch.eye(EMOTIONS) + 0.1).log())
    chain.other.copy_((torch.eye(EMOTIONS) + 0.5).log())
    chain.exponents.copy_(torch.tensor([1.0, 0.5, 0.3]))
    assert_same(Chained(members, chain).eval(), spoken(make_batch))


def test_streams_are_computed_once(
    make_model: ModelMaker, make_batch: BatchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five dialogues of three lengths, three are computed without a modality; with speakers told apart, all five."""
    for settings, rows in (({}, [5, 3]), ({"speaker_embedding": True}, [5, 5])):
        model, seen = make_model(**settings), []
        whole = model.text_stream
        monkeypatch.setattr(model, "text_stream", lambda batch, keys: seen.append(len(keys)) or whole(batch, keys))  # noqa: B023
        each_way(model, spoken(make_batch))
        assert seen == rows
