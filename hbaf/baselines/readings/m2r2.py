"""M2R2-style: parties that attend to each other, over a representation that survives a missing modality. Our reading.

B dialogues, U utterances (padded), S speakers, D = dim; tensors of the recurrence begin with 2, the directions.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hbaf.baselines.attention import masked_softmax
from hbaf.baselines.gru_steps import DirectedLinear, PartyMemory, gru_step
from hbaf.baselines.inputs import present, streams
from hbaf.baselines.turns import back_in_order, both_directions
from hbaf.model.batch import DialogueBatch, SystemOutput


class M2R2(nn.Module):
    """Common representation, iteratively refined; party-attentive network over it; classifier.

    Source: Wang et al., 2022 (arXiv 2205.02524); no code found, so a reading.
    Simplified to audio + text: while training one modality of an utterance that has both is hidden at random, and its
    vector must be reconstructed from the other. The global state depends on the common representation alone.

    Args:
        hidden: chance that an utterance loses a modality while training, 0..1.
        refinements: times that missing vectors are guessed and the representation formed anew.
        reconstruction_weight: of the reconstruction's mean squared error.
    """

    reading: ClassVar[bool] = True
    source: ClassVar[str] = "Wang et al., 2022 (arXiv 2205.02524)"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 150,
        dropout: float = 0.2,
        hidden: float = 0.2,
        refinements: int = 2,
        reconstruction_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.hidden, self.reconstruction_weight = hidden, reconstruction_weight
        self.common = CommonRepresentation(audio_dim, text_dim, dim, refinements)
        self.context = nn.ModuleList(nn.GRU(dim, dim, batch_first=True) for _ in range(2))
        self.parties = PartyAttention(dim)
        self.emotion = nn.ModuleList(nn.GRU(2 * dim, dim, batch_first=True) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; loss `reconstruction` of all vectors that are there, the hidden ones too."""
        audio, text = streams(batch)
        has_audio, has_text = present(batch)
        seen_audio, seen_text = hide(has_audio, has_text, self.hidden if self.training else 0.0)
        r, guess_audio, guess_text = self.common(audio, text, seen_audio, seen_text)
        error = squared_error(guess_audio, audio, has_audio) + squared_error(guess_text, text, has_text)
        x = both_directions(self.dropout(r), batch.mask)  # (2, B, U, D)
        g = torch.stack([gru(x[way])[0] for way, gru in enumerate(self.context)])
        p = self.parties(x, g, both_directions(batch.speaker * batch.mask, batch.mask))
        e = torch.stack([gru(torch.cat([p[way], g[way]], -1))[0] for way, gru in enumerate(self.emotion)])
        logits = self.classifier(self.dropout(back_in_order(e, batch.mask)))
        return SystemOutput(
            logits, {"reconstruction": self.reconstruction_weight * error}, {"reconstruction": error.detach()}
        )


class CommonRepresentation(nn.Module):
    """r = C([E_a a ; E_l l]); a modality that is not seen is first nothing, then what its decoder makes of r."""

    def __init__(self, audio_dim: int, text_dim: int, dim: int, refinements: int) -> None:
        super().__init__()
        self.refinements = refinements
        self.encode_audio, self.encode_text = nn.Linear(audio_dim, dim), nn.Linear(text_dim, dim)
        self.combine = nn.Linear(2 * dim, dim)
        self.decode_audio, self.decode_text = nn.Linear(dim, audio_dim), nn.Linear(dim, text_dim)

    def forward(
        self, audio: Tensor, text: Tensor, seen_audio: Tensor, seen_text: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (B, U, ...) and (B, U) bool -> r (B, U, D), guessed audio and text vectors of the last round."""
        a, l = seen_audio[..., None] * audio, seen_text[..., None] * text  # noqa: E741
        r = self._form(a, l)
        for _ in range(self.refinements):
            # What is seen is never replaced by a guess.
            a = torch.where(seen_audio[..., None], audio, self.decode_audio(r))
            l = torch.where(seen_text[..., None], text, self.decode_text(r))  # noqa: E741
            r = self._form(a, l)
        return r, self.decode_audio(r), self.decode_text(r)

    def _form(self, audio: Tensor, text: Tensor) -> Tensor:
        return torch.tanh(self.combine(torch.cat([self.encode_audio(audio), self.encode_text(text)], -1)))


class PartyAttention(nn.Module):
    """p_s <- GRU(p_s; [x_t ; g_t ; o_t]), o_t = attention of [x_t ; g_t] over the states of all who spoke but s."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.input = DirectedLinear(2 * dim, 3 * dim)
        self.query = DirectedLinear(2 * dim, dim, bias=False)
        self.others = DirectedLinear(dim, 3 * dim, bias=False)
        self.state = DirectedLinear(dim, 3 * dim)

    def forward(self, x: Tensor, g: Tensor, speaker: Tensor) -> Tensor:
        """x, g (2, B, U, D), speaker (2, B, U) int64 -> p of who speaks at each turn, (2, B, U, D)."""
        read = torch.cat([x, g], -1)
        inputs, queries = self.input(read).unbind(2), self.query(read).unbind(2)
        allowed = heard_others(speaker)
        parties = PartyMemory(speaker, self.dim, inputs[0])
        everyone = (*parties.shape[:2], parties.parties, self.dim)
        reads = []
        for turn in range(x.shape[2]):
            p = parties.read(turn)
            states = parties.states.view(everyone)  # (2, B, S, D)
            scores = (states @ queries[turn][..., None])[..., 0] * self.dim**-0.5  # (2, B, S)
            weights = masked_softmax(scores, allowed[:, :, turn]).to(states.dtype)
            o = (weights[..., None, :] @ states)[..., 0, :]
            p = gru_step(inputs[turn] + self.others(o), self.state(p), p)
            parties.write(turn, p)
            reads.append(p)
        return torch.stack(reads, 2)


def heard_others(speaker: Tensor) -> Tensor:
    """(2, B, U) int64 -> (2, B, U, S) bool: who has spoken before a turn and is not speaking at it."""
    parties = torch.arange(int(speaker.max()) + 1, device=speaker.device)
    speaks = speaker[..., None] == parties
    before = speaks.long().cumsum(2) - speaks.long() > 0
    return before & ~speaks


def hide(has_audio: Tensor, has_text: Tensor, chance: float) -> tuple[Tensor, Tensor]:
    """Takes audio or text, with equal chance, from utterances that have both; never the last one. (B, U) bool each."""
    draw = torch.rand(has_audio.shape, device=has_audio.device)
    both = has_audio & has_text
    return has_audio & ~(both & (draw < chance / 2)), has_text & ~(both & (draw >= chance / 2) & (draw < chance))


def squared_error(guess: Tensor, truth: Tensor, there: Tensor) -> Tensor:
    """Mean over the utterances that are there and over their numbers; 0 where there is none."""
    error = (guess.float() - truth.float()).square().mean(-1)
    return torch.where(there, error, 0.0).sum() / there.sum().clamp(min=1)
