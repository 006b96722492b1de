"""One scored conversation as its page shows it: turns, reasons, the emotion river and the speakers' lanes.

Everything here is plain text and numbers; escaping is the template's work (Jinja's autoescape).
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hbaf.corpus.annotations import content_of
from hbaf.corpus.schema import is_missing
from hbaf.report.audio import Clip, Clips
from hbaf.report.charts import COLUMN, Share, river, slots_of, stacked

Row = Mapping[str, Any]
UNCERTAIN_BELOW = 0.5  # of rows that do not say themselves whether they are uncertain
LANES = 8  # speakers with a lane of their own; the others share the last one


@dataclass(frozen=True)
class Palette:
    """The label set in order: names as they are shown, palette slots, and columns of the scores."""

    emotions: tuple[str, ...]
    slots: tuple[int, ...]
    columns: tuple[str, ...]

    def index(self, name: str) -> int:
        """Class index, -1 for a label that is not in the set."""
        return self.emotions.index(name) if name in self.emotions else -1

    def slot(self, name: str) -> int | str:
        """The palette slot, or "none" for the colourless class of what has no emotion."""
        place = self.index(name)
        return "none" if place < 0 else self.slots[place]


@dataclass(frozen=True)
class Conversation:
    """Rows of one dialogue in order of turns.

    Attributes:
        corpus: corpus name.
        name: dialogue id, cleaned of control characters.
        slug: file name without ending.
        rows: T rows of the scores.
        speakers: in order of first appearance.
        labels: T class indices, -1 where a turn is unscored.
        seconds: speech in seconds, None when no turn has a length.
        confidence: mean over scored turns, None without any.
        lowest: lowest confidence of a turn.
        right: share of labelled and scored turns whose prediction agrees with the label, None without any.
        differ: share of turns that two models call otherwise, None without a second model.
    """

    corpus: str
    name: str
    slug: str
    rows: list[Row]
    speakers: list[str]
    labels: list[int]
    seconds: float | None
    confidence: float | None
    lowest: float | None
    right: float | None
    differ: float | None


def slug_of(corpus: str, dialogue_id: str) -> str:
    """A file name for any id: readable ASCII, then a digest that keeps ids apart (also without upper case).

    The digest depends on nothing but the id, so links to a page hold when the report is written again.
    """
    ascii_id = unicodedata.normalize("NFKD", dialogue_id).encode("ascii", "ignore").decode().lower()
    readable = re.sub(r"[^a-z0-9]+", "-", ascii_id).strip("-")[:48].strip("-")
    digest = hashlib.sha256(f"{corpus}\0{dialogue_id}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{readable}-{digest}" if readable else digest


# Unicode's category Cc, but for line ends and tabs.
CONTROL = {code: " " for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def words_of(value: Any) -> str:
    """Text without control characters and without half characters; empty for a missing value."""
    if is_missing(value):
        return ""
    clean = str(value).encode("utf-8", "replace").decode()
    return clean.translate(CONTROL).strip()


def number_of(row: Row, column: str) -> float | None:
    """A number of a row, None where it is missing."""
    value = row.get(column)
    return None if is_missing(value) else float(value)  # type: ignore[arg-type]


def seconds_of(row: Row) -> float | None:
    """Length of an utterance: measured, or else end minus start."""
    seconds, start, end = (number_of(row, column) for column in ("seconds", "start", "end"))
    if seconds is None and start is not None and end is not None:
        return max(0.0, end - start)
    return seconds


def clock(seconds: float | None) -> str:
    """`1:02:03`, `2:03`, or a dash for None."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def percent(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def palette_of(emotions: Sequence[str]) -> Palette:
    """Colours of the emotions."""
    names = tuple(words_of(name) for name in emotions)
    return Palette(names, tuple(slots_of(names)), tuple(f"p_{name}" for name in emotions))


def conversation_of(corpus: str, dialogue_id: str, rows: Sequence[Row], palette: Palette) -> Conversation:
    """What the page of a conversation shows."""
    ordered = sorted(rows, key=lambda row: int(row["turn"]))
    labels = [palette.index(words_of(row.get("label"))) for row in ordered]
    confidences = [number_of(row, "confidence") for row in ordered]
    known = [value for value in confidences if value is not None]
    lengths = [length for row in ordered if (length := seconds_of(row)) is not None]
    agreed = agreements(ordered)
    return Conversation(
        corpus=words_of(corpus),
        name=words_of(dialogue_id) or "(no name)",
        slug=slug_of(str(corpus), str(dialogue_id)),
        rows=ordered,
        speakers=list(dict.fromkeys(words_of(row.get("speaker")) or "(unknown)" for row in ordered)),
        labels=labels,
        seconds=sum(lengths) if lengths else None,
        confidence=sum(known) / len(known) if known else None,
        lowest=min(known, default=None),
        right=sum(agreed) / len(agreed) if agreed else None,
        differ=sum(one != other for one, other in both) / len(both) if (both := both_labels(ordered)) else None,
    )


def both_labels(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The label and that of the model beside it, of each turn that has both."""
    pairs = [(words_of(row.get("label")), words_of(row.get("beside_label"))) for row in rows]
    return [(one, other) for one, other in pairs if one and other]


def agreements(rows: Sequence[Row]) -> list[bool]:
    """Whether the prediction is the true label, of each turn that has both."""
    pairs = [(words_of(row.get("emotion")), words_of(row.get("label"))) for row in rows]
    return [true == predicted for true, predicted in pairs if true and predicted]


def _is_uncertain(row: Row, confidence: float | None) -> bool:
    """Whether the label is drawn hollow: as the model's calibration says, which need not be at half."""
    said = row.get("uncertain")
    return confidence is not None and (confidence < UNCERTAIN_BELOW if is_missing(said) else bool(said))


def _truth(row: Row, palette: Palette) -> dict[str, Any] | None:
    """The true label and whether the prediction agrees with it; None without either."""
    true, predicted = words_of(row.get("emotion")), words_of(row.get("label"))
    return {"label": true, "right": true == predicted, "slot": palette.slot(true)} if true and predicted else None


def turn_views(conversation: Conversation, palette: Palette, clips: Clips) -> list[dict[str, Any]]:
    """What the template shows of each turn."""
    ranks = {speaker: rank for rank, speaker in enumerate(conversation.speakers)}
    turns = {int(row["turn"]): (place + 1, words_of(row.get("text"))) for place, row in enumerate(conversation.rows)}
    views: list[dict[str, Any]] = []
    for place, row in enumerate(conversation.rows):
        speaker = words_of(row.get("speaker")) or "(unknown)"
        label, confidence = words_of(row.get("label")), number_of(row, "confidence")
        probabilities = [number_of(row, column) or 0.0 for column in palette.columns]
        clip = clips.of(row)
        views.append(
            {
                "number": place + 1,
                "utterance": words_of(row.get("utterance_id")),
                "content": content_of(row),
                "speaker": speaker,
                "initials": _initials(speaker),
                "side": "right" if ranks[speaker] % 2 else "left",
                "follows": place > 0 and views[-1]["speaker"] == speaker,
                "words": words_of(row.get("text")),
                "when": _when(row),
                "label": label,
                "slot": palette.slot(label),
                "hollow": _is_uncertain(row, confidence),
                "confidence": None if confidence is None else percent(confidence),
                "bars": list(zip(palette.emotions, palette.slots, probabilities, strict=True)) if label else [],
                "mix": stacked(probabilities, palette.slots),
                "truth": _truth(row, palette),
                "beside": _beside(row, label, palette),
                "alone": [alone for modality in ("audio", "text") if (alone := _alone(row, modality, label, palette))],
                "gates": [
                    (modality, gate)
                    for modality in ("audio", "text")
                    if (gate := number_of(row, f"gate_{modality}")) is not None
                ],
                "looked_at": _looked_at(row, turns),
                "notes": _notes(row, clip),
                "clip": clip,
            }
        )
    return views


def speaker_views(
    conversation: Conversation, views: Sequence[dict[str, Any]], palette: Palette
) -> list[dict[str, Any]]:
    """A line for each speaker: turns, seconds of speech, their share, labels, and how many of these are uncertain."""
    lines = []
    for speaker in conversation.speakers:
        places = [at for at, view in enumerate(views) if view["speaker"] == speaker]
        labels = [conversation.labels[at] for at in places]
        lengths = [length for at in places if (length := seconds_of(conversation.rows[at])) is not None]
        spoken = sum(lengths) if lengths else None
        counts = sorted((one for one in mix_of(labels, palette) if one[2]), key=lambda one: -one[2])
        lines.append(
            {
                "name": speaker,
                "turns": len(places),
                "seconds": spoken,
                "share": spoken / conversation.seconds if spoken is not None and conversation.seconds else None,
                "uncertain": sum(views[at]["hollow"] for at in places),
                "scored": sum(label >= 0 for label in labels),
                "mix": mix_bar(labels, palette),
                "labels": [(emotion, slot, count) for emotion, slot, count, _ in counts],
            }
        )
    return lines


def _initials(speaker: str) -> str:
    parts = [part for part in re.split(r"[\W_]+", speaker) if part]
    return ("".join(part[0] for part in parts[:2]) or "?").upper()[:2]


def _when(row: Row) -> str:
    start, length = number_of(row, "start"), seconds_of(row)
    shown = [] if start is None else [clock(start)]
    return " · ".join(shown if length is None else [*shown, f"{length:.1f} s"])


def _alone(row: Row, modality: str, label: str, palette: Palette) -> dict[str, Any] | None:
    """What one modality alone would have said; None where it is absent."""
    name, confidence = words_of(row.get(f"{modality}_label")), number_of(row, f"{modality}_confidence")
    if not name:
        return None
    share = "" if confidence is None else percent(confidence)
    return {"modality": modality, "label": name, "slot": palette.slot(name), "share": share, "other": name != label}


def _beside(row: Row, label: str, palette: Palette) -> dict[str, Any] | None:
    """What a second model says; None where there is none."""
    name, confidence = words_of(row.get("beside_label")), number_of(row, "beside_confidence")
    if not name:
        return None
    share = "" if confidence is None else percent(confidence)
    model = words_of(row.get("beside_model"))
    return {"model": model, "label": name, "slot": palette.slot(name), "share": share, "other": name != label}


def _looked_at(row: Row, turns: Mapping[int, tuple[int, str]]) -> list[dict[str, Any]]:
    """The other turns that the prediction looked at most: number, words, share, and whether it came earlier."""
    words = words_of(row.get("attention"))
    shares = {int(turn): float(share) for turn, share in json.loads(words or "{}").items() if int(turn) in turns}
    here = int(row["turn"])
    return [
        {"number": turns[turn][0], "words": turns[turn][1], "share": share, "earlier": turn < here}
        for turn, share in shares.items()
    ]


def _notes(row: Row, clip: Clip) -> list[str]:
    notes = [] if words_of(row.get("label")) else ["This turn was not scored."]
    for modality, column in (("audio", "audio"), ("text", "text")):
        problem = words_of(row.get(f"{modality}_problem"))
        if problem:
            notes.append(f"No usable {modality}: {problem}")
        elif not words_of(row.get(column)):
            notes.append(f"No {modality}: the corpus has none for this turn.")
    return [*notes, clip.note] if clip.note else notes


def river_view(conversation: Conversation, views: Sequence[dict[str, Any]], palette: Palette) -> dict[str, Any]:
    """The river, one lane per speaker, and a place to click for each turn."""
    probabilities = [[value for _, _, value in view["bars"]] or None for view in views]
    named = conversation.speakers if len(conversation.speakers) <= LANES else conversation.speakers[: LANES - 1]
    rest = len(conversation.speakers) - len(named)
    lanes = [*named, f"{rest} others"] if rest else named
    lane_of = {speaker: min(rank, len(lanes) - 1) for rank, speaker in enumerate(conversation.speakers)}
    blocks: list[tuple[float, int, int | str]] = [
        (place * COLUMN, lane_of[view["speaker"]], view["slot"]) for place, view in enumerate(views)
    ]
    return {
        "width": len(views) * COLUMN,
        "column": COLUMN,
        "paths": river(probabilities, palette.slots),
        "lanes": lanes,
        "blocks": blocks,
    }


def mix_of(labels: Sequence[int], palette: Palette) -> list[tuple[str, int, int, float]]:
    """(emotion, slot, count, share of scored turns) in label order; also drawn as one stacked bar."""
    scored = sum(1 for label in labels if label >= 0)
    counts = [sum(1 for label in labels if label == index) for index in range(len(palette.emotions))]
    return [
        (emotion, slot, count, count / scored if scored else 0.0)
        for emotion, slot, count in zip(palette.emotions, palette.slots, counts, strict=True)
    ]


def mix_bar(labels: Sequence[int], palette: Palette) -> list[Share]:
    """The mix of labels as a bar."""
    return stacked([count for _, _, count, _ in mix_of(labels, palette)], palette.slots)
