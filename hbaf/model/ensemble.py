"""Several members of one kind, trained with different seeds, as one system. B dialogues, U utterances, C emotions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hbaf.model.batch import DialogueBatch, SystemOutput


class Ensemble(nn.Module):
    """Logits are the log of the mean of the members' calibrated probabilities; losses, terms and views are means.

    Buffer `temperatures` (members,): each member's logits are divided by its own, fitted on dev; 1 as built.
    """

    temperatures: Tensor

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("temperatures", torch.ones(len(members)))

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits (B, U, C): log of the mean over members m of softmax(logits_m / T_m)."""
        return self.mean([member(batch) for member in self.members])

    def mean(self, outputs: Sequence[SystemOutput]) -> SystemOutput:
        """What the members say together; `outputs` in their order."""
        logits = torch.stack([output.logits.float() for output in outputs])  # (members, B, U, C)
        log_probability = (logits / self.temperatures[:, None, None, None]).log_softmax(-1)
        return SystemOutput(
            log_probability.logsumexp(0) - torch.tensor(float(len(outputs))).log(),
            _mean([output.losses for output in outputs]),
            _mean([output.terms for output in outputs]),
            _mean([output.views for output in outputs]),
        )


def _mean(each: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([values[name] for values in each]).mean(0) for name in each[0]}
