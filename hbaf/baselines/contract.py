"""What every system must keep, as a check that runs on any of them: the project's own and a user's.

A system is built with `audio_dim, text_dim, commonsense_dim, emotions` and settings of its own as keywords, takes a
`DialogueBatch` and gives a `SystemOutput`. Scores of it mean something only if a dialogue is judged by itself: not by
its padding, not by what lies behind a mark of absence, not by who else is in the batch.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hbaf.model.batch import UNLABELLED, DialogueBatch, SystemOutput

AUDIO_DIM, TEXT_DIM, COMMONSENSE_DIM, EMOTIONS = 6, 7, 5, 4
TOLERANCE = 1e-5
LEARNED, STEPS, RATE = 0.95, 200, 5e-3


class ContractError(AssertionError):
    """A system breaks a rule; the message names the rule and what came."""


class Build(Protocol):
    """Makes the system with fresh weights; the same ones for the same seed."""

    def __call__(self, *, commonsense: bool = True, seed: int = 1) -> nn.Module:
        """Builds a system."""
        ...


def check_system(kind: Callable[..., nn.Module], **settings: object) -> None:
    """Runs every rule on a few made-up dialogues; some seconds.

    Args:
        kind: the system's class, or what makes one of the four dims.
        settings: keywords of its own. `dim` is 32 and `dropout` 0 if it takes them and nothing else is given.

    Raises:
        ContractError: the first rule that is broken.
    """
    takes = inspect.signature(kind).parameters
    small = {name: value for name, value in {"dim": 32, "dropout": 0.0}.items() if name in takes}
    for rule in RULES.values():
        rule(builder(kind, **{**small, **settings}))


def builder(kind: Callable[..., nn.Module], **settings: object) -> Build:
    """What the rules build the system with."""

    def build(*, commonsense: bool = True, seed: int = 1) -> nn.Module:
        torch.manual_seed(seed)
        return kind(
            audio_dim=AUDIO_DIM, text_dim=TEXT_DIM, commonsense_dim=COMMONSENSE_DIM if commonsense else None,
            emotions=EMOTIONS, **settings,
        ).eval()  # fmt: skip

    return build


def shapes_and_kinds(build: Build) -> None:
    """Logits, losses, terms and views have the shapes and types of the contract."""
    output = build()(made_up((5, 3)))
    _rule(isinstance(output, SystemOutput), "forward gives a SystemOutput", type(output).__name__)
    _rule(output.logits.shape == (2, 5, EMOTIONS), "logits are (B, U, C) = (2, 5, 4)", tuple(output.logits.shape))
    _rule(output.logits.dtype == torch.float32, "logits are float32", output.logits.dtype)
    for name, value in {**output.losses, **output.terms}.items():
        _rule(value.shape == (), f"{name} is a scalar tensor", tuple(value.shape))
    for name, value in {**output.terms, **output.views}.items():
        _rule(not value.requires_grad, f"{name} is detached: it is logged, not learned from", "requires_grad")
    for name, value in output.views.items():
        _rule(value.shape[:1] == (2,), f"view {name} begins with the dialogues", tuple(value.shape))
    _finite(output, "ordinary dialogues")


def a_dialogue_by_itself(build: Build) -> None:
    """Alone, or beside longer ones: the same logits."""
    system, lengths = build(), (3, 9, 1)
    batch = made_up(lengths, no_audio=[(0, 1)], no_text=[(0, 2), (1, 4)])
    together = system(batch).logits
    for row, turns in enumerate(lengths):
        alone = system(only(batch, row, turns)).logits[0]
        difference = (alone - together[row, :turns]).abs().max().item()
        _rule(difference < TOLERANCE * 10, "a dialogue's logits do not depend on its batch", f"{difference:.2g}")


def nothing_behind_the_marks(build: Build) -> None:
    """Neither padding nor what stands where a modality is missing changes anything, in training either."""
    batch = made_up((3, 6), no_audio=[(0, 1), (1, 4)], no_text=[(0, 1), (1, 2)])
    assert batch.commonsense is not None
    scribbled = replace(
        batch,
        audio=batch.audio.masked_fill(~batch.has_audio[..., None], float("nan")),
        text=batch.text.masked_fill(~batch.has_text[..., None], float("nan")),
        commonsense=batch.commonsense.masked_fill(~batch.has_text[..., None, None], float("nan")),
        speaker=batch.speaker.masked_fill(~batch.mask, 2),
    )
    for training in (False, True):
        system = build().train(training)
        torch.manual_seed(0)
        plain = system(batch)
        torch.manual_seed(0)
        changed = system(scribbled)
        same = torch.equal(plain.logits[batch.mask], changed.logits[batch.mask])
        _rule(same, "what lies on padding and behind missing marks changes no logit", "other logits")
        for name, loss in plain.losses.items():
            equal = loss.item() == changed.losses[name].item()
            _rule(equal, f"nor the loss {name}", f"{loss.item()} and {changed.losses[name].item()}")


def finite_whatever_is_missing(build: Build) -> None:
    """No NaN and no infinity, whatever is missing."""
    whole = made_up((4, 2))
    cases = {
        "no audio": whole.without("audio"),
        "no text": whole.without("text"),
        "neither": whole.without("audio").without("text"),
        "a single turn": made_up((1,)),
        "short dialogues": made_up((1, 1, 2)),
        "eleven speakers": made_up((12,), speakers=11),
        "no label": replace(whole, label=torch.full_like(whole.label, UNLABELLED)),
    }
    for training in (False, True):
        system = build().train(training)
        for name, batch in cases.items():
            system.zero_grad()
            output = system(batch)
            _finite(output, name)
            (output.logits[batch.mask].square().mean() + sum(output.losses.values())).backward()
            for path, parameter in system.named_parameters():
                fine = parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
                _rule(fine, f"gradients are finite with {name}", path)


def every_parameter_learns(build: Build) -> None:
    """With commonsense features and without: the parts that nothing reads are not built."""
    for commonsense in (True, False):
        system = build(commonsense=commonsense).train()
        batch = made_up((8, 6, 1), no_audio=[(0, 1), (1, 3)], no_text=[(0, 2), (1, 0)], unlabelled=[(0, 4)])
        if not commonsense:
            batch = replace(batch, commonsense=None)
        total_loss(system(batch), batch).backward()
        for path, parameter in system.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
            with_them = "with" if commonsense else "without"
            _rule(reached, f"a gradient reaches every parameter {with_them} commonsense features", path)


def chance_follows_the_seed(build: Build) -> None:
    """Evaluation is deterministic, and training repeats with torch's seed."""
    system, batch = build(), made_up((6, 4))
    first, second = system(batch), system(batch)
    _rule(torch.equal(first.logits, second.logits), "evaluation is deterministic", "two different results")
    system.train()
    torch.manual_seed(3)
    once = system(batch).logits
    torch.manual_seed(3)
    _rule(torch.equal(system(batch).logits, once), "chance in training follows torch's seed", "two different results")


def weights_travel(build: Build) -> None:
    """All that a prediction depends on is in the state, what was drawn at random and never trained too."""
    system, other, batch = build(), build(seed=2), made_up()
    other.load_state_dict(system.state_dict())
    same = torch.equal(other(batch).logits, system(batch).logits)
    _rule(same, "state_dict holds all that a prediction depends on", "other logits after loading it")


def overfits_eight_dialogues(build: Build) -> None:
    """Labels are random, so only what is remembered turn by turn can bring them back."""
    batch = made_up((5, 4, 6, 3, 5, 1, 2, 4), no_audio=[(0, 1)], no_text=[(1, 2)])
    system, labelled, right = build().train(), batch.label != UNLABELLED, 0.0
    optimizer = torch.optim.Adam(system.parameters(), lr=RATE)
    for step in range(STEPS):
        optimizer.zero_grad()
        total_loss(system(batch), batch).backward()
        optimizer.step()
        if step % 20 == 19:
            right = (system.eval()(batch).logits.argmax(-1) == batch.label)[labelled].float().mean().item()
            system.train()
            if right == 1:
                break
    _rule(right >= LEARNED, f"{STEPS} steps learn eight dialogues by heart", f"{right:.0%} of the labels")


RULES: dict[str, Callable[[Build], None]] = {
    rule.__name__: rule
    for rule in (
        shapes_and_kinds,
        a_dialogue_by_itself,
        nothing_behind_the_marks,
        finite_whatever_is_missing,
        every_parameter_learns,
        chance_follows_the_seed,
        weights_travel,
        overfits_eight_dialogues,
    )
}


def made_up(
    lengths: Sequence[int] = (5, 3),
    *,
    speakers: int = 3,
    no_audio: Sequence[tuple[int, int]] = (),
    no_text: Sequence[tuple[int, int]] = (),
    unlabelled: Sequence[tuple[int, int]] = (),
    seed: int = 0,
) -> DialogueBatch:
    """Random dialogues of the given lengths.

    Args:
        speakers: turn t is spoken by t (mod speakers).
        no_audio, no_text, unlabelled: (dialogue, turn) of what is missing.
    """
    draw = torch.Generator().manual_seed(seed)
    rows, turns = len(lengths), max(lengths)
    mask = torch.arange(turns)[None] < torch.tensor(lengths)[:, None]
    has_audio, has_text = mask.clone(), mask.clone()
    label = torch.randint(EMOTIONS, (rows, turns), generator=draw).masked_fill(~mask, UNLABELLED)
    for places, marks, absent in ((no_audio, has_audio, 0), (no_text, has_text, 0), (unlabelled, label, UNLABELLED)):
        for dialogue, turn in places:
            marks[dialogue, turn] = absent
    return DialogueBatch(
        audio=torch.randn(rows, turns, AUDIO_DIM, generator=draw) * has_audio[..., None],
        text=torch.randn(rows, turns, TEXT_DIM, generator=draw) * has_text[..., None],
        commonsense=torch.randn(rows, turns, 3, COMMONSENSE_DIM, generator=draw) * has_text[..., None, None],
        mask=mask,
        has_audio=has_audio,
        has_text=has_text,
        speaker=(torch.arange(turns) % speakers).expand(rows, -1).masked_fill(~mask, 0),
        label=label,
    )


def total_loss(output: SystemOutput, batch: DialogueBatch) -> Tensor:
    """What training descends."""
    loss = F.cross_entropy(output.logits.flatten(0, 1), batch.label.flatten(), ignore_index=UNLABELLED)
    return loss + sum(output.losses.values())


def only(batch: DialogueBatch, row: int, turns: int) -> DialogueBatch:
    """One dialogue of a batch, without its padding."""
    parts = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return replace(batch, **{name: v[row : row + 1, :turns] for name, v in parts.items() if v is not None})


def _finite(output: SystemOutput, case: str) -> None:
    for tensor in (output.logits, *output.losses.values(), *output.terms.values(), *output.views.values()):
        _rule(bool(torch.isfinite(tensor).all()), f"all that comes out is finite with {case}", "NaN or infinity")


def _rule(kept: bool, rule: str, came: object) -> None:
    if not kept:
        raise ContractError(f"{rule}; found {came}")
