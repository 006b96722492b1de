"""The index of a report: counts over all conversations, and a compact list that its script filters and sorts."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pandas as pd
from markupsafe import Markup

from hbaf.report.charts import BINS, COLUMN, mix_over_time, river
from hbaf.report.conversation import (
    Conversation,
    Palette,
    Row,
    agreements,
    both_labels,
    clock,
    mix_bar,
    mix_of,
    words_of,
)

STRIP_CELLS = 160  # longest emotion strip in the index; longer conversations are drawn at this resolution
MOST_DIFFERENCES = 10  # pairs of labels of two models
WORDS_BYTES = 900_000  # of spoken words in the index, for its search; keeps 1,000 conversations below 2 MB
CELLS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # class index -> letter of a strip


def for_index(conversation: Conversation) -> Conversation:
    """The conversation with what the index reads of its rows, and no more."""
    rows: list[Row] = [
        {name: row.get(name) for name in ("text", "emotion", "label", "beside_label")} for row in conversation.rows
    ]
    return replace(conversation, rows=rows)


def index_view(conversations: Sequence[Conversation], colours: Palette, scores: pd.DataFrame) -> dict[str, Any]:
    """What the index's template shows: counts over everything, and the list as data for its script."""
    labels = [label for conversation in conversations for label in conversation.labels]
    lengths = [conversation.seconds for conversation in conversations if conversation.seconds is not None]
    rights = [right for conversation in conversations for right in agreements(conversation.rows)]
    both = [pair for conversation in conversations for pair in both_labels(conversation.rows)]
    listed, whole_words = _index_data(conversations, colours)
    return {
        "conversations": conversations,
        "turns": len(labels),
        "unscored": sum(1 for label in labels if label < 0),
        "speakers": len({speaker for conversation in conversations for speaker in conversation.speakers}),
        "speech": clock(sum(lengths)) if lengths else None,
        "confidence": float(scores["confidence"].mean()) if len(labels) > labels.count(-1) else None,
        "right": sum(rights) / len(rights) if rights else None,
        "labelled": len(rights),
        "beside": ", ".join(sorted({words_of(name) for name in scores["beside_model"]} - {""})) if both else "",
        "agree": sum(one == other for one, other in both) / len(both) if both else None,
        "differences": Counter(pair for pair in both if pair[0] != pair[1]).most_common(MOST_DIFFERENCES),
        "lacking": {modality: _lacking(scores, modality) for modality in ("audio", "text")},
        "mix": mix_of(labels, colours),
        "mix_bar": mix_bar(labels, colours),
        "course": river(
            mix_over_time([conversation.labels for conversation in conversations], len(colours.slots)), colours.slots
        ),
        "course_width": BINS * COLUMN,
        "long_enough": len(labels) >= 3 * len(conversations) > 0,
        "data": script_safe(listed),
        "whole_words": whole_words,
    }


def _lacking(scores: pd.DataFrame, modality: str) -> int:
    """Turns without this modality: a problem is named, or there is none at all."""
    problem, column = f"{modality}_problem", modality
    lacking = scores[problem].notna() if problem in scores else pd.Series(False, index=scores.index)
    return int((lacking | scores[column].isna()).sum()) if column in scores else len(scores)


def _index_data(conversations: Sequence[Conversation], colours: Palette) -> tuple[dict[str, Any], bool]:
    """What the index's script lists, and whether the words in it are whole; short arrays, since it is sent at once."""
    speakers: dict[str, int] = {}
    words = ["\n".join(words_of(row.get("text")) for row in conversation.rows) for conversation in conversations]
    share = WORDS_BYTES // max(1, len(words))
    whole = sum(len(text.encode()) for text in words) <= WORDS_BYTES
    rows = []
    for conversation, text in zip(conversations, words, strict=True):
        indices = [speakers.setdefault(speaker[:60], len(speakers)) for speaker in conversation.speakers]
        rows.append(
            [
                conversation.name[:100] + ("…" if len(conversation.name) > 100 else ""),
                conversation.slug,
                conversation.corpus[:40],
                _strip(conversation.labels),
                [conversation.labels.count(index) for index in range(len(colours.emotions))],
                indices,
                len(conversation.rows),
                None if conversation.seconds is None else round(conversation.seconds),
                None if conversation.confidence is None else round(conversation.confidence, 3),
                None if conversation.lowest is None else round(conversation.lowest, 2),
                None if conversation.right is None else round(conversation.right, 2),
                None if conversation.differ is None else round(conversation.differ, 2),
                text if whole else text.encode()[:share].decode(errors="ignore"),
            ]
        )
    listed = list(zip(colours.emotions, colours.slots, strict=True))
    return {"emotions": listed, "speakers": list(speakers), "conversations": rows}, whole


def _strip(labels: Sequence[int]) -> str:
    """One letter per turn, "." for an unscored one; a long conversation is sampled, rare emotions first."""
    if len(labels) > STRIP_CELLS:
        total = {label: labels.count(label) for label in set(labels)}
        edges = [round(cell * len(labels) / STRIP_CELLS) for cell in range(STRIP_CELLS + 1)]
        labels = [min(labels[a:b], key=lambda label: (label < 0, total[label])) for a, b in pairwise(edges)]
    return "".join(CELLS[label] if 0 <= label < len(CELLS) else "." for label in labels)


def script_safe(value: Any) -> Markup:
    """JSON that cannot close its script element or open a comment in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
