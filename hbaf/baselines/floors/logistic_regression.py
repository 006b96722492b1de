"""Logistic regression on the utterance alone: the floor that context and fusion have to beat."""

from typing import ClassVar

from torch import nn

from hbaf.baselines.inputs import joined
from hbaf.model.batch import DialogueBatch, SystemOutput


class LogisticRegression(nn.Module):
    """Linear map of [audio ; text] of one utterance to the emotions; its weight decay is the training's.

    `dim` and `dropout` are taken for the sake of one signature: there is nothing to size and nothing to drop.
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
        self.classifier = nn.Linear(audio_dim + text_dim, emotions)
        # From zero it starts as the majority vote and takes the one minimum there is.
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits of each utterance from its own features."""
        return SystemOutput(self.classifier(joined(batch)))
