"""Scored conversations in the forms of other tools: subtitles, Praat, ELAN, Audacity, and a table of the speakers.

Times are those of the recording. Conversations whose turns are files of their own are laid end to end.
"""

import csv
import html
import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pandas as pd

from hbaf.corpus.schema import is_missing
from hbaf.home import write_atomically
from hbaf.report.conversation import slug_of, words_of
from hbaf.scoring.schema import as_cell

FOLDER = "exports"
BETWEEN = " | "  # fields of a label of Audacity: `joy | predicted anger 61% | calls/a17/3 | Ann: words`
SPEAKERS = "speakers"


class ExportError(ValueError):
    """No form of that name."""


class TimedTurn(NamedTuple):
    """A turn as other tools show it.

    Attributes:
        start, end: seconds from the beginning of the conversation.
        label: the predicted emotion; "" where unscored.
        confidence: probability of the label, 0..1.
        utterance_id: where the file is one to label in; else "".
    """

    start: float
    end: float
    speaker: str
    text: str
    label: str
    confidence: float
    utterance_id: str = ""

    @property
    def marked(self) -> str:
        """`joy 83%`; "unscored" without a prediction."""
        return f"{self.label} {self.confidence:.0%}" if self.label else "unscored"

    @property
    def predicted(self) -> str:
        """`predicted joy 83%`: what a person who labels knows for a prediction."""
        return f"predicted {self.marked}" if self.label else "no prediction"


def forms(names: str | Sequence[str], known: Sequence[str] = (), option: str = "--export") -> tuple[str, ...]:
    """The forms that are asked for, as `srt,eaf` or one by one.

    Args:
        known: those there are; default: those of this module.
        option: by which they are asked for, for the message.

    Raises:
        ExportError: a name that is none.
    """
    asked = names.split(",") if isinstance(names, str) else names
    wanted = tuple(dict.fromkeys(name.strip().lower() for name in asked if name.strip()))
    known = known or (*WRITERS, SPEAKERS)
    if unknown := [name for name in wanted if name not in known]:
        raise ExportError(f"{option} {unknown[0]}: there is no such form. There are: {', '.join(known)}.")
    return wanted


def export_scores(scores: pd.DataFrame, folder: Path, wanted: Sequence[str]) -> tuple[list[Path], int]:
    """Writes one file a conversation and form into `folder/exports`, in place of what was there.

    Args:
        scores: scored rows; `seconds`, `start` and `end` give the times.
        wanted: as `forms` returns them.

    Returns:
        The files, and the number of conversations that have no times, so that only `speakers` can be written of them.
    """
    place = folder / FOLDER
    shutil.rmtree(place, ignore_errors=True)
    files, without_times = [], 0
    if SPEAKERS in wanted:
        files.append(_written(place / "speakers.csv", _speakers(scores)))
    timed = [name for name in wanted if name in WRITERS]
    for dialogue, rows in scores.groupby("dialogue_id", sort=False) if timed else ():
        turns = timed_turns(rows.sort_values("turn"))
        without_times += not turns
        for form in timed if turns else ():
            suffix, write = WRITERS[form]
            name = slug_of(str(rows["corpus"].iloc[0]), str(dialogue))
            files.append(_written(place / f"{name}.{suffix}", write(turns)))
    return files, without_times


def timed_turns(rows: pd.DataFrame, *, ids: bool = False) -> list[TimedTurn]:
    """The turns of one conversation with times; empty where nothing is known of them.

    A turn without words or sound keeps its place; one without any time is left out.

    Args:
        rows: scored or not.
        ids: with their utterance ids.
    """
    placed = bool(rows["start"].notna().any())
    found, at = [], 0.0
    for row in rows.to_dict("records"):
        start = row["start"] if placed else at
        length = row["seconds"] if is_missing(row["end"]) or not placed else row["end"] - row["start"]
        if is_missing(start) or is_missing(length):
            continue
        at = float(start) + float(length)
        label = "" if is_missing(row.get("label")) else str(row["label"])
        confidence = float(row["confidence"]) if label else 0.0
        speaker, text = (" ".join(words_of(row[name]).split()) for name in ("speaker", "text"))
        found.append(
            TimedTurn(float(start), at, speaker, text, label, confidence, str(row["utterance_id"]) if ids else "")
        )
    return sorted(found)


def _written(file: Path, content: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, content.encode())
    return file


def _srt(turns: Sequence[TimedTurn]) -> str:
    cues = []
    for number, turn in enumerate(turns, start=1):
        times = f"{_clock(turn.start, ',')} --> {_clock(turn.end, ',')}"
        cues.append(f"{number}\n{times}\n[{turn.marked}] {turn.speaker}: {turn.text}\n")
    return "\n".join(cues)


def _vtt(turns: Sequence[TimedTurn]) -> str:
    cues = []
    for turn in turns:
        speaker, words = (html.escape(text, quote=False) for text in (turn.speaker, f"[{turn.marked}] {turn.text}"))
        cues.append(f"{_clock(turn.start)} --> {_clock(turn.end)}\n<v {speaker}>{words}\n")
    return "\n".join(["WEBVTT\n", *cues])


def _audacity(turns: Sequence[TimedTurn]) -> str:
    return "".join(f"{turn.start:.6f}\t{turn.end:.6f}\t{_of_track(turn)}\n" for turn in turns)


def _of_track(turn: TimedTurn) -> str:
    """What a turn's label says; in a file to label in, `?` stands where the label comes."""
    words = f"{turn.speaker}: {turn.text}"
    if not turn.utterance_id:
        return f"{turn.marked}, {words}"
    return BETWEEN.join(("?", turn.predicted, turn.utterance_id, words))


def _textgrid(turns: Sequence[TimedTurn]) -> str:
    end = max(turn.end for turn in turns)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    tiers = _tiers(turns)
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, spans) in enumerate(tiers.items(), start=1):
        filled = _without_gaps(spans, end)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        lines += ["        xmin = 0", f"        xmax = {end:.6f}", f"        intervals: size = {len(filled)}"]
        for place, (start, stop, text) in enumerate(filled, start=1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {start:.6f}",
                f"            xmax = {stop:.6f}",
            ]
            lines += [f"            text = {_quoted(text)}"]
    return "\n".join(lines) + "\n"


def _eaf(turns: Sequence[TimedTurn]) -> str:
    schema = {
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
    }
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT", schema, AUTHOR="hbaf", DATE="1970-01-01T00:00:00Z", FORMAT="3.0", VERSION="3.0"
    )
    ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots = annotations = 0
    for name, spans in _tiers(turns).items():
        tier = ElementTree.SubElement(root, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=name)
        for start, end, text in spans:
            for at in (start, end):
                slots += 1
                ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{slots}", TIME_VALUE=str(round(1000 * at)))
            annotations += 1
            outer = ElementTree.SubElement(tier, "ANNOTATION")
            inner = ElementTree.SubElement(
                outer, "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{annotations}", TIME_SLOT_REF1=f"ts{slots - 1}", TIME_SLOT_REF2=f"ts{slots}",
            )  # fmt: skip
            ElementTree.SubElement(inner, "ANNOTATION_VALUE").text = text
    ElementTree.SubElement(
        root, "LINGUISTIC_TYPE",
        GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true",
    )  # fmt: skip
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


# Form -> (suffix, the text of a conversation's file).
WRITERS: dict[str, tuple[str, Callable[[Sequence[TimedTurn]], str]]] = {
    "srt": ("srt", _srt),
    "vtt": ("vtt", _vtt),
    "eaf": ("eaf", _eaf),
    "textgrid": ("TextGrid", _textgrid),
    "audacity": ("labels.txt", _audacity),
}


def _speakers(scores: pd.DataFrame) -> str:
    """A row for each speaker of a conversation: turns, seconds, the share of each emotion in the scored turns."""
    emotions = sorted(scores["label"].dropna().astype(str).unique())
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["conversation", "speaker", "turns", "scored", "seconds", *map(as_cell, emotions)])
    for (dialogue, speaker), rows in scores.groupby(["dialogue_id", "speaker"], sort=False, dropna=False):
        scored = rows["label"].dropna().astype(str)
        shares: list[Any] = [round(float((scored == emotion).mean()), 4) if len(scored) else "" for emotion in emotions]
        seconds = round(float(rows["seconds"].sum()), 2)
        writer.writerow([as_cell(str(dialogue)), as_cell(str(speaker)), len(rows), len(scored), seconds, *shares])
    return table.getvalue()


def _tiers(turns: Sequence[TimedTurn]) -> dict[str, list[tuple[float, float, str]]]:
    """Two tiers a speaker, words and emotions; what overlaps in one tier is cut at the next one's start.

    Where the file is one to label in: words, predictions, empty intervals for the labels, and utterance ids.
    """
    tiers: dict[str, list[tuple[float, float, str]]] = {}
    for turn in turns:
        named = {"": turn.text, " emotion": turn.marked}
        if turn.utterance_id:
            named = {"": turn.text, " predicted": turn.predicted, " label": "", " id": turn.utterance_id}
        for name, text in ((f"{turn.speaker}{kind}", text) for kind, text in named.items()):
            spans = tiers.setdefault(name, [])
            if spans and spans[-1][1] > turn.start:
                spans[-1] = (spans[-1][0], turn.start, spans[-1][2])
            spans.append((turn.start, turn.end, text))
    return {name: [span for span in spans if span[1] > span[0]] for name, spans in tiers.items()}


def _without_gaps(spans: Sequence[tuple[float, float, str]], end: float) -> list[tuple[float, float, str]]:
    """Praat's tiers have an interval everywhere, also where nobody speaks."""
    filled, at = [], 0.0
    for start, stop, text in spans:
        if start > at:
            filled.append((at, start, ""))
        filled.append((start, stop, text))
        at = stop
    return [*filled, (at, end, "")] if end > at else filled


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _clock(seconds: float, point: str = ".") -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
