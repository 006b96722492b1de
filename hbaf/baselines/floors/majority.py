"""The share of each emotion, whatever is said: the floor below which nothing was learned."""

from typing import ClassVar

import torch
from torch import nn

from hbaf.model.batch import DialogueBatch, SystemOutput


class Majority(nn.Module):
    """One number per emotion. Trained with cross-entropy its softmax becomes the class shares of train.

    All other arguments are taken for the sake of one signature.
    """

    reading: ClassVar[bool] = False
    source: ClassVar[str] = "floor; no publication"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.prior = nn.Parameter(torch.zeros(emotions))

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """The same logits for every utterance."""
        return SystemOutput(self.prior.expand(*batch.mask.shape, -1))
