"""The mean of members: by hand, and held to the contract of systems."""

import pytest
import torch
from torch import nn

from hbaf.baselines.contract import RULES, builder, made_up
from hbaf.model.build import build_hbaf
from hbaf.model.ensemble import Ensemble
from hbaf.parameters import ModelParameters

SMALL = {"dim": 16, "heads": 2, "encoder_layers": 1, "feedforward": 16, "conv_channels": 4, "dropout": 0.0}


class Three(nn.Module):
    """As the contract builds it: its class takes the widths of the inputs."""

    def __new__(cls, **sizes: object) -> nn.Module:  # type: ignore[misc]
        whole = Ensemble([build_hbaf(ModelParameters(**SMALL), **sizes) for _ in range(3)])
        whole.temperatures.copy_(torch.tensor([0.8, 1.0, 1.7]))
        return whole


@pytest.mark.parametrize("rule", [name for name in RULES if name != "overfits_eight_dialogues"])
def test_the_mean_of_members_keeps_the_contract(rule: str) -> None:
    RULES[rule](builder(Three))


def test_mean_of_calibrated_probabilities() -> None:
    whole, batch = builder(Three)(), made_up((5, 3))
    with torch.inference_mode():
        each = [member(batch) for member in whole.members]
        found = whole(batch)
    said = [(o.logits / t).softmax(-1) for o, t in zip(each, (0.8, 1.0, 1.7), strict=True)]
    torch.testing.assert_close(found.logits.exp()[batch.mask], torch.stack(said).mean(0)[batch.mask])
    for name in ("gate_audio", "gate_text"):
        torch.testing.assert_close(found.views[name], torch.stack([o.views[name] for o in each]).mean(0))
