"""A transcript file -> its turns; its content decides which form it is, not its suffix."""

import csv
import io
import itertools
import json
import re
from collections import Counter
from pathlib import Path

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text.encoding import decode_text
from hbaf.corpus.text.manifest_columns import is_called
from hbaf.corpus.text.recognisers.entries import add_entries
from hbaf.corpus.text.recognisers.turns import KNOWN, load, read_asr_json
from hbaf.corpus.text.transcripts.annotations import is_chat, is_textgrid, read_chat, read_elan, read_textgrid
from hbaf.corpus.text.transcripts.captions import are_captions, read_captions
from hbaf.corpus.text.transcripts.exmaralda import is_exmaralda, read_exmaralda
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError, Parsed
from hbaf.corpus.text.transcripts.plain import read_plain
from hbaf.corpus.text.transcripts.subtitles import is_ass, read_ass, read_xml_captions
from hbaf.parameters import LimitParameters

# Where one recording has several, the one that says most is read: what people annotated, then what has most details.
SUFFIXES = (
    ".textgrid", ".eaf", ".exb", ".cha", ".json", ".vtt", ".srt", ".ass", ".ssa", ".ttml", ".dfxp", ".sbv", ".json3",
    ".srv3", ".srv2", ".srv1", ".lrc",
)  # fmt: skip
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")  # of turns, without a column that names dialogue or recording
BESIDE_A_RECORDING = (".xml", *TABLES, ".txt")  # elsewhere they are anything
_JSON = (".json", ".json3", ".jsonl", ".ndjson")
FORMS = (
    "WebVTT, SRT, SBV, ASS, TTML, LRC, TextGrid, ELAN, EXMARaLDA, CHAT, text with times, or the JSON of a recogniser "
    f"({KNOWN})"
)


def read_transcript(
    path: Path,
    shown: str,
    limits: LimitParameters = LimitParameters(),  # noqa: B008  # frozen
) -> Parsed:
    """The turns of one file.

    Args:
        shown: its name for messages.

    Raises:
        NotATranscriptError: it is none; the message says what was seen.
    """
    try:
        size = path.stat().st_size
        if size > limits.transcript_bytes:
            raise NotATranscriptError(
                f"{size} bytes, and {limits.transcript_bytes} are allowed; where that is right, allow more: "
                f"`--set corpus.limits.transcript_bytes={2 * size}`"
            )
        content = path.read_bytes()
    except OSError as error:
        raise NotATranscriptError(f"cannot be read ({error.strerror or error})") from error
    if content.startswith(b"ooBinaryFile"):
        raise NotATranscriptError("a binary TextGrid; save it in Praat as a text file")
    try:
        decoded = decode_text(path, content)
    except CorpusError as error:
        raise NotATranscriptError(str(error).removeprefix(f"{path}: ").rstrip(".")) from error
    if decoded.text.count("\0") > len(decoded.text) // 2:
        raise NotATranscriptError("zero bytes in place of text")
    try:
        parsed = _parse(path.suffix.lower(), shown, decoded.text)
    except RecursionError as error:
        raise NotATranscriptError("nested too deep") from error
    _leave_out_empty(parsed)
    if not parsed.rows:
        raise NotATranscriptError(f"{parsed.form} without a single turn")
    _tell_of_order(parsed)
    if decoded.note:
        parsed.notes.append(decoded.note)
    if decoded.damaged:
        _set_damaged_aside(parsed)
    return parsed


def _parse(suffix: str, shown: str, text: str) -> Parsed:
    start = text.lstrip("\ufeff \t\r\n")
    if suffix in (".csv", ".tsv"):
        return _read_table(shown, start)
    if is_textgrid(start):
        return read_textgrid(shown, start)
    if start.startswith(("{", "[")) and (suffix in _JSON or _looks_like_json(start)):
        return read_asr_json(shown, load(start))
    if suffix in _JSON and not are_captions(start):
        load(start)  # says what is wrong with it
        raise NotATranscriptError("JSON that is no object and no list")
    if start.startswith("<"):
        if is_exmaralda(start):
            return read_exmaralda(shown, start)
        return read_elan(shown, start) if "<ANNOTATION_DOCUMENT" in start[:5000] else read_xml_captions(shown, start)
    if is_chat(start):
        return read_chat(shown, start)
    if is_ass(start):
        return read_ass(shown, start)
    if are_captions(start) and (found := read_captions(shown, start)).rows:
        return found
    if (plain := read_plain(shown, start)) is not None:
        return plain
    if "-->" in start or start.startswith("WEBVTT"):
        return read_captions(shown, start)
    raise NotATranscriptError("text without times")


def _read_table(shown: str, text: str) -> Parsed:
    """A table of turns, as Whisper writes one (in milliseconds, which its columns do not tell)."""
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max("\t;,|", key=header.count))
    parsed = Parsed("table of turns")
    try:
        add_entries(parsed, shown, [{str(name): value for name, value in row.items()} for row in reader])
    except csv.Error as error:
        raise NotATranscriptError(f"a broken table ({error})") from error
    return parsed


def is_table_of_turns(header: str) -> bool:
    """Whether the first line of a table names words and times, and neither dialogue nor recording."""
    try:
        written = list(json.loads(header)) if header.startswith("{") else re.split(r'[\t;,|"]+', header)
    except ValueError:
        return False
    return (
        any(is_called(name, "text") for name in written)
        and any(is_called(name, "start") for name in written)
        and (not any(is_called(name, "dialogue", "audio") for name in written))
    )


def _looks_like_json(text: str) -> bool:
    return text[1:].lstrip()[:1] in ('"', "{", "[", "}", "]")


def _leave_out_empty(parsed: Parsed) -> None:
    """Pieces without a letter are pauses that a program wrote down, and no turns."""
    spoken = [row for row in parsed.rows if (row.values["text"] or "").strip()]
    if empty := len(parsed.rows) - len(spoken):
        parsed.notes.append(f"{empty} of {len(parsed.rows)} pieces without words are left out")
    parsed.rows = spoken


def _tell_of_order(parsed: Parsed) -> None:
    """Times that go back where one after the other speaks are those of a recogniser that began to count anew."""
    starts = [float(row.values["start"]) for row in parsed.rows if row.values["start"] and not row.values["channel"]]
    back = sum(after < before - 1.0 for before, after in itertools.pairwise(starts))
    if back:
        parsed.notes.append(f"its times go back {back} time{'s' if back > 1 else ''}; turns are in the order of time")


def _set_damaged_aside(parsed: Parsed) -> None:
    bad = {
        row.where for row in parsed.rows if any("\udc80" <= letter <= "\udcff" for letter in row.values["text"] or "")
    }
    parsed.rows = [row for row in parsed.rows if row.where not in bad]
    parsed.set_aside += [(where, "undecodable characters", "bytes that are not UTF-8") for where in sorted(bad)]


class ReadSummary:
    """What was read, in few lines: "call1.json: Deepgram, 12 turns, 2 speakers"."""

    def __init__(self) -> None:
        self._forms: dict[str, tuple[list[str], int, set[str]]] = {}
        self._notes: dict[str, list[str]] = {}

    def add(self, shown: str, parsed: Parsed) -> None:
        """Counts a file's turns and speakers towards its form; `shown` is the name that people see."""
        files, turns, speakers = self._forms.get(parsed.form, ([], 0, set()))
        speakers |= {f"{shown} {name}" for row in parsed.rows if (name := row.values["speaker"])}
        self._forms[parsed.form] = ([*files, shown], turns + len(parsed.rows), speakers)
        for note in parsed.notes:
            self._notes.setdefault(note, []).append(shown)

    def lines(self) -> list[str]:
        """A line for each form and each note; of several files only the first is named."""
        lines = []
        for form, (files, turns, speakers) in self._forms.items():
            counts = Counter(name.partition(" ")[0] for name in speakers)
            most = max(counts.values(), default=0)
            people = f"{most} speaker{'s' if most != 1 else ''}" if most else "nobody named"
            if len(files) == 1:
                lines.append(f"{files[0]}: {form}, {turns} turn{'s' if turns != 1 else ''}, {people}")
            else:
                at_most = f"up to {people}" if most else people
                lines.append(f"{len(files)} transcripts of {form}, {turns} turns, {at_most} (first {files[0]})")
        for note, files in self._notes.items():
            others = f" and {len(files) - 1} more" if len(files) > 1 else ""
            lines.append(f"{files[0]}{others}: {note}")
        return lines
