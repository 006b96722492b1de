"""The monitor's findings as a page: what has changed, by how much, and what to do about it."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hbaf.drift.checks import Check, Findings
from hbaf.home import write_atomically
from hbaf.report.charts import slots_of, stacked
from hbaf.report.pages import render

# check -> (title, what the distance is, what to look at first)
EXPLAINED: dict[str, tuple[str, str, str]] = {
    "label_mix": (
        "Label mix",
        "Share of utterances that would need another label for the mix of dev.",
        "Listen to some conversations of the emotion that grew: is it there?",
    ),
    "expected_f1": (
        "Loss of expected weighted F1",
        "Loss against dev, by the calibrated probabilities.",
        "Label a sample and run `hbaf evaluate` on it; train again with it if the loss is real.",
    ),
    "confidence": (
        "Confidence",
        "Distance of its distribution from dev's.",
        "See which representation or input has changed with it.",
    ),
    "agreement": (
        "Voice and words agree",
        "How much more or less often both alone say the same.",
        "Check that transcripts and recordings belong together.",
    ),
    "length_mismatch": (
        "Text fits its recording",
        "How much less the length of the text goes with the length of the sound.",
        "Transcripts are probably attached to the wrong recordings, or cut: check the manifest.",
    ),
    "seconds": ("Length of utterances", "Distance of its distribution.", "Has the segmentation changed?"),
    "loudness": ("Loudness", "Distance of its distribution.", "Has a microphone, a codec or a level changed?"),
    "words_per_second": ("Words per second", "Distance of its distribution.", "Has the speech recogniser changed?"),
    "known_pairs": (
        "Known pairs of words",
        "Loss of pairs of neighbouring words that train knows.",
        "Another language, a failing recogniser, or words out of order.",
    ),
    "text_continuity": (
        "One turn follows from another",
        "Distance of the distribution of how alike the words of neighbouring turns are.",
        "Check that turns are in order and belong to one conversation.",
    ),
    "missing_audio": ("Without audio", "Change of the share of utterances.", "Are recordings not arriving?"),
    "missing_text": ("Without text", "Change of the share of utterances.", "Are transcripts not arriving?"),
    "audio_representation": (
        "Audio representation",
        "Mean distance of its principal components.",
        "Other voices, rooms, microphones or codecs than in training: listen to some.",
    ),
    "text_representation": (
        "Text representation",
        "Mean distance of its principal components.",
        "Other topics or another language than in training: read some.",
    ),
}
SCALE = 100.0  # the bound stands in the middle of a bar of 200


def write_monitor_page(
    page: Path,
    findings: Findings,
    *,
    model: str,
    corpus: str,
    since: float,
    now: float,
    curves: Mapping[str, Sequence[tuple[float, float]]],
) -> Path:
    """Writes one page that asks the network for nothing.

    Args:
        since, now: seconds since 1970, the window.
        curves: metric -> (time, value) of every check, oldest first.
    """
    views = [_view(check) for check in sorted(findings.checks, key=lambda check: not check.flagged)]
    emotions = list(findings.labels_now)
    slots = slots_of(emotions)
    before, after = ([mix[name] for name in emotions] for mix in (findings.labels_before, findings.labels_now))
    low, high = findings.expected_f1_interval
    content = render(
        "monitor",
        model=model,
        corpus=corpus,
        judged=findings.judged,
        utterances=findings.utterances,
        dialogues=findings.dialogues,
        unscored=findings.unscored,
        since=_day(since),
        now=_day(now),
        checks=views,
        flagged=[view for view in views if view["flagged"]],
        expected=_number(findings.expected_f1),
        expected_low=_number(low),
        expected_high=_number(high),
        reference_expected=_number(findings.reference_f1),
        measured=_number(findings.measured_f1) if findings.measured_f1 == findings.measured_f1 else "",
        mix=list(zip(emotions, slots, before, after, strict=True)),
        mix_before=stacked(before, slots),
        mix_now=stacked(after, slots),
        curves=[_curve(name, points) for name, points in curves.items() if points],
        looks=max((len(points) for points in curves.values()), default=0),
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, content.encode())
    return page


def title_of(check: str) -> str:
    """The name of a check for people."""
    return EXPLAINED[check][0] if check in EXPLAINED else check


def _view(check: Check) -> dict[str, Any]:
    title, meaning, advice = EXPLAINED.get(check.name, (check.name, "", ""))
    known = check.value == check.value and check.threshold > 0
    return {
        "title": title,
        "meaning": meaning,
        "advice": advice,
        "flagged": check.flagged,
        "value": _number(check.value),
        "bound": _number(check.threshold),
        "width": round(min(2 * SCALE, max(0.0, SCALE * check.value / check.threshold)), 1) if known else 0,
        "usual_at": round(min(196.0, max(0.0, SCALE * check.usual / check.threshold - 2)), 1) if known else None,
        "change": f"{_number(check.before)} → {_number(check.now)}" if check.now == check.now else "",
    }


def _curve(name: str, points: Sequence[tuple[float, float]]) -> dict[str, str]:
    """A line from the first check to the last, in a box of 100 x 24 with the value's own range, y downwards."""
    values = [value for _, value in points]
    low, high = min(values), max(values)
    height = (high - low) or 1.0
    step = 100 / max(1, len(values) - 1)
    places = [(place * step, 22 - 20 * (value - low) / height) for place, value in enumerate(values)]
    if len(places) == 1:
        places.append((100.0, places[0][1]))
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    title = "Expected weighted F1" if name == "expected_f1" else title_of(name.removeprefix("check/"))
    return {"title": title, "path": path, "last": _number(values[-1])}


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
