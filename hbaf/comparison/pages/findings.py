"""What the paper claims and what it leaves open, asked of runs: the questions, their numbers, and a page of answers.

A question names systems of the bench. The first of them is what the others are held against.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hbaf.comparison.bench import Cell, Comparison, Run
from hbaf.comparison.decoded import corpus_of, dialogues
from hbaf.comparison.pages.render import md_line
from hbaf.comparison.systems import CHAIN
from hbaf.corpus.folds import Fold
from hbaf.statistics import (
    LEVEL,
    class_f1,
    counts_by_dialogue,
    holm,
    interval,
    paired_difference,
    paired_test,
    weighted_f1,
)
from hbaf.training.chain import inertia

MANY = 6  # rows beyond which a verdict names only what stands out


@dataclass(frozen=True)
class Question:
    """One thing to find out.

    Attributes:
        says: the paper's claim, or what is left open.
        systems: names of the bench; the first is the reference.
        expected: system -> sign of its difference from the reference if the claim holds; none for an open question.
        order: systems by the size of their loss, the largest first, if the claim is about an order.
        split: `test`, or `dev` for what a recipe is chosen by.
        worst: emotions that, by the claim, the reference recognises worst.
        inertia: what a speaker's last label tells by itself is reported too.
    """

    title: str
    says: str
    systems: tuple[str, ...]
    expected: dict[str, int] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    worst: tuple[str, ...] = ()
    inertia: bool = False


QUESTIONS = (
    Question(
        "Two modalities against words alone",
        "Claim 1: two modalities beat text alone (+2.3 on MELD, +5.1 on IEMOCAP, implied by the paper's text).",
        ("hbaf-text", "hbaf"),
        expected={"hbaf": 1},
    ),
    Question(
        "Words against sound",
        "Claim 2: text beats audio (by 23.6 on MELD, 6.2 on IEMOCAP, implied by the paper's text).",
        ("hbaf-audio", "hbaf-text"),
        expected={"hbaf-text": 1},
    ),
    Question(
        "The audio context network",
        "Claim 3: it helps low-level audio, and only that (LLDs +1.4, wav2vec -0.3 on MELD, implied).",
        ("hbaf-audio", "hbaf-audio-no-acn"),
        expected={"hbaf-audio-no-acn": -1},
    ),
    Question(
        "What each part is worth",
        "Claim 4: without bimodal attention the loss is largest, then without contrast, gate and residual.",
        (
            "hbaf", "hbaf-no-bimodal-attention", "hbaf-no-contrastive", "hbaf-no-gate", "hbaf-no-residual",
            "hbaf-no-fusion", "hbaf-no-acn",
        ),
        order=("hbaf-no-bimodal-attention", "hbaf-no-contrastive", "hbaf-no-gate", "hbaf-no-residual"),
    ),
    Question(
        "The worst emotions", "Claim 5: on MELD fear and disgust are recognised worst.", ("hbaf",),
        worst=("fear", "disgust"),
    ),
    Question(
        "`literal` against `crossed`",
        "Open: which cross view the gate reads. The equations say `literal`, the prose `crossed`.",
        ("hbaf-literal", "hbaf-crossed"),
    ),
    Question(
        "Three context attentions",
        "Open: the reading of Eq. 1-2. `query` is the default.",
        ("hbaf", "hbaf-scalar-context", "hbaf-elementwise-context"),
    ),
    Question(
        "How h_m is compared with h_a and h_l",
        "Open: 1024 numbers against 512. `projection` is the default.",
        ("hbaf", "hbaf-zero-pad", "hbaf-tile"),
    ),
    Question("The anchor", "Open: `equation` (the default) or `prose`.", ("hbaf", "hbaf-prose-anchor")),
    Question(
        "The current utterance",
        "Open: whether the text stream reads turn t's own words; as printed (`no`) it never does.",
        ("hbaf", "hbaf-no-current-utterance"),
    ),
    Question(
        "How much of context is label inertia",
        "Open: what systems gain that read context, and how much of it a counted chain of labels gives.",
        (
            "logistic-regression", "logistic-regression+chain", "bc-lstm", "bc-lstm+chain", "mmgcn", "mmgcn+chain",
            "hbaf", "hbaf+chain",
        ),
        inertia=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """A system of a question in one cell. Scores are shares, 0..1.

    Attributes:
        difference: from the reference on the seeds that both have, with its 95 % interval over dialogues; None for the
            reference itself.
        p: approximate randomisation, corrected (Holm) over the systems of the question.
    """

    system: str
    seeds: int
    f1: float
    deviation: float
    low: float
    high: float
    difference: float | None = None
    gap_low: float = np.nan
    gap_high: float = np.nan
    p: float = np.nan


def systems_of(questions: Sequence[Question] = QUESTIONS) -> str:
    """Every system that the questions need, each once: what `hbaf compare --systems` takes."""
    return ",".join(dict.fromkeys(name for question in questions for name in question.systems))


def answer(question: Question, runs: Sequence[Run], split: str = "test") -> list[Answer]:
    """The question's systems in one cell, those that ran; none without the reference or without another one.

    A setting that the recipe has already is the reference's own run, and no row.
    """
    counts = {name: counts_of(runs, name, split) for name in question.systems}
    reference, *others = question.systems
    base = own_runs(runs, reference)
    others = [name for name in others if not own_runs(runs, name) & base]
    if not counts[reference] or not (any(counts[name] for name in others) or question.worst):
        return []
    found, tests = [_answer(reference, counts[reference])], []
    for name in others:
        common = sorted(set(counts[name]) & set(counts[reference]))
        if not common:
            continue
        theirs = np.stack([counts[name][seed] for seed in common])
        ours = np.stack([counts[reference][seed] for seed in common])
        gap = paired_difference(theirs, ours)
        found.append(_answer(name, counts[name], gap.value, gap.low, gap.high))
        tests.append(paired_test(ours, theirs))
    corrected = holm(tests)
    return [found[0], *(_with_p(one, p) for one, p in zip(found[1:], corrected, strict=True))]


def own_runs(runs: Sequence[Run], name: str) -> set[tuple[str, bool]]:
    """What tells the runs of a system from those of another: two names of one setting share them."""
    return {(run.job.key(), run.job.entrant.chain) for run in runs if run.job.entrant.name == name}


def counts_of(runs: Sequence[Run], name: str, split: str) -> dict[int, np.ndarray]:
    """Seed -> (F, D, C, C) of a system: F folds, 1 without any, over the dialogues of all of them.

    A dialogue counts in the fold that held it out and is zero in the others. A seed that lacks a fold is left out.
    """
    of = [run for run in runs if run.job.entrant.name == name]
    folds = list(dict.fromkeys(run.job.fold for run in of))
    tables: dict[int, dict[Fold | None, pd.DataFrame]] = {}
    for run in of:
        if run.outcome.facts is not None:
            tables.setdefault(run.job.training.seed, {})[run.job.fold] = run.outcome.predictions(split)
            emotions = run.outcome.facts.emotions
    found = {}
    for seed, by_fold in tables.items():
        if len(by_fold) == len(folds):
            parts = [counts_by_dialogue(by_fold[fold], emotions) for fold in folds]  # F x (D_f, C, C)
            ends = np.cumsum([len(part) for part in parts])
            found[seed] = np.zeros((len(parts), ends[-1], *parts[0].shape[1:]), parts[0].dtype)
            for number, (end, part) in enumerate(zip(ends, parts, strict=True)):
                found[seed][number, end - len(part) : end] = part
    return found


def _answer(
    name: str, counts: dict[int, np.ndarray], gap: float | None = None, low: float = np.nan, high: float = np.nan
) -> Answer:
    stacked = np.stack(list(counts.values()))  # (S, F, D, C, C)
    scores = weighted_f1(stacked.sum(-3)).mean(1)
    bounds = interval(stacked)
    spread = float(scores.std(ddof=1)) if len(scores) > 1 else np.nan
    return Answer(name, len(scores), float(scores.mean()), spread, *bounds, gap, low, high)


def _with_p(one: Answer, p: float) -> Answer:
    return Answer(**{**one.__dict__, "p": p})


def verdict(question: Question, answers: Sequence[Answer], classes: dict[str, float]) -> str:
    """What the numbers allow to say, in a sentence.

    Args:
        classes: F1 of the reference by emotion.
    """
    by_name = {one.system: one for one in answers}
    if question.worst:
        lowest = sorted(classes, key=lambda name: classes[name])[: len(question.worst)]
        scores = ", ".join(f"{name} {100 * value:.1f}" for name, value in sorted(classes.items(), key=lambda c: c[1]))
        if not set(question.worst) <= set(classes):
            return f"Cannot be asked of this label set: {scores}."
        return f"{'Holds' if set(lowest) == set(question.worst) else 'Does not hold'}: {scores}."
    if question.order:
        there = [name for name in question.order if name in by_name]
        found = sorted(there, key=lambda name: by_name[name].difference or 0.0)
        known = [name for name in there if by_name[name].p < 1 - LEVEL]
        listed = ", ".join(f"{_short(name)} {_signed(by_name[name].difference)}" for name in found)
        same = "The order is the paper's" if found == there else "The order is another one"
        return f"{same} ({listed}); " + (
            f"distinguishable from no effect: {', '.join(_short(name) for name in known)}."
            if known
            else "but none of these differences can be distinguished from chance."
        )
    if len(answers) > MANY and not question.expected:
        certain = [one for one in answers[1:] if one.p < 1 - LEVEL]
        most = max(answers[1:], key=lambda one: one.difference or 0.0)
        names = ", ".join(f"`{_short(one.system)}`" for one in certain) or "none"
        return (
            f"Of {len(answers) - 1} differences these can be distinguished from chance after correction: {names}. "
            f"The largest gain is that of `{_short(most.system)}`, {_signed(most.difference)} "
            f"[{_signed(most.gap_low)}, {_signed(most.gap_high)}]."
        )
    parts = []
    for one in answers[1:]:
        sure = one.p < 1 - LEVEL
        side = np.sign(one.difference or 0.0)
        if one.system in question.expected:
            right = side == question.expected[one.system]
            judged = ("Holds" if right else "The contrary holds") if sure else "Not shown"
        else:
            judged = (
                ("better" if side > 0 else "worse") if sure else "no difference that can be distinguished from chance"
            )
            judged = f"`{_short(one.system)}`: {judged}"
        gap = f"{_signed(one.difference)} [{_signed(one.gap_low)}, {_signed(one.gap_high)}], p {one.p:.3f}"
        parts.append(f"{judged}, {gap}")
    return "; ".join(parts) + "."


def _short(name: str) -> str:
    return name.removeprefix("hbaf-").removeprefix("hbaf:") if name != "hbaf" else name


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}"


def table(answers: Sequence[Answer]) -> str:
    """Markdown, a row per system."""
    lines = [
        md_line(["system", "seeds", "weighted F1", "95 %", "difference", "95 % of it", "p"]),
        md_line(["---", *["---:"] * 6]),
    ]
    for one in answers:
        spread = "" if np.isnan(one.deviation) else f" ± {100 * one.deviation:.1f}"
        gap = one.difference is not None
        lines.append(
            md_line(
                [
                    f"`{one.system}`", one.seeds, f"{100 * one.f1:.1f}{spread}",
                    f"[{100 * one.low:.1f}, {100 * one.high:.1f}]", _signed(one.difference) if gap else "",
                    f"[{_signed(one.gap_low)}, {_signed(one.gap_high)}]" if gap else "", f"{one.p:.3f}" if gap else "",
                ]
            )
        )  # fmt: skip
    return "\n".join(lines)


def section(question: Question, comparison: Comparison, split: str = "test") -> str:
    """One question over all cells: claim, verdict and table of each."""
    parts = [f"## {question.title}", question.says]
    for cell in comparison.cells:
        runs = [run for run in comparison.runs if run.cell.name == cell.name]
        answers = answer(question, runs, split)
        if answers:
            classes = f1_by_emotion(runs, question.systems[0], split)
            listed = [verdict(question, answers, classes)]
            listed += [labels_persist(cell), worth_of_the_chain(answers)] if question.inertia else []
            parts += [f"**{cell.name}.** {' '.join(listed)}", table(answers)]
    return "\n\n".join(parts) if len(parts) > 2 else ""


def labels_persist(cell: Cell) -> str:
    """How much of a label the speaker's last one tells, counted on train."""
    corpus = corpus_of(cell.reference)
    found = inertia(dialogues(corpus, corpus.in_split("train")), len(corpus.emotions))
    return (
        f"{found['same']:.0%} of turns carry their speaker's last label, {found['same_by_chance']:.0%} would by "
        f"chance; knowing it takes the entropy of a label from {found['entropy']:.2f} to "
        f"{found['entropy_given_own']:.2f} bit."
    )


def worth_of_the_chain(answers: Sequence[Answer]) -> str:
    """What the chain adds to each system that has a row with it."""
    f1 = {one.system: one.f1 for one in answers}
    gains = [f"`{name}` {_signed(f1[name + CHAIN] - value)}" for name, value in f1.items() if name + CHAIN in f1]
    return f"The chain adds: {', '.join(gains)}." if gains else ""


def f1_by_emotion(runs: Sequence[Run], name: str, split: str = "test") -> dict[str, float]:
    """F1 of a system by emotion, mean over seeds; emotions that the split lacks are left out."""
    counts = counts_of(runs, name, split)
    if not counts:
        return {}
    emotions = next(run.outcome.facts.emotions for run in runs if run.outcome.facts is not None)
    whole = np.stack(list(counts.values())).sum((1, 2))  # (S, C, C)
    f1, support = class_f1(whole).mean(0), whole[0].sum(-1)
    return {name: float(f1[at]) for at, name in enumerate(emotions) if support[at] > 0}
