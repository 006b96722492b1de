"""The JSON of speech recognisers -> turns; which one wrote it is recognised by its shape.

A recogniser that is not known by name is read all the same where it writes a list of entries with words and times.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from hbaf.corpus.text.recognisers import azure as asr_azure
from hbaf.corpus.text.recognisers import engines as asr_engines
from hbaf.corpus.text.recognisers import services as asr_services
from hbaf.corpus.text.recognisers.entries import MILLI, add_entries, has_times, is_entry, moment
from hbaf.corpus.text.recognisers.pieces import best, dicts
from hbaf.corpus.text.transcripts.annotations import Tier, add_tiers
from hbaf.corpus.text.transcripts.made_here import KEY, shown_form
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError, Parsed

KNOWN = (
    "Whisper and its kin, Hugging Face, Deepgram, AssemblyAI, AWS, Azure, Google, IBM Watson, Rev.ai, Speechmatics, "
    "ElevenLabs, Gladia, Soniox, Vosk, NeMo, FunASR, YouTube json3"
)
# Where lists of entries are kept, those that say most first.
_LISTS = (
    "speakers", "utterances", "sentences", "sentence_info", "segments", "segment", "phrases", "chunks",
    "transcription",
    "transcript", "Transcript", "transcripts", "turns", "turnLevelTranscription", "diarization", "monologues",
    "fragments", "captions", "subtitles", "entries", "transcriptEntries", "items", "results", "result", "words",
    "word_segments", "wordLevelTranscription", "word", "tokens",
)  # fmt: skip
_TURNS = ("", "utterances", "sentences", "segments", "phrases", "chunks", "transcription", "turns")  # also untimed
_LISTS_OF_WORDS = ("words", "word", "word_segments", "wordLevelTranscription", "tokens")
_WRAPPERS = ("output", "response", "result", "results", "data", "transcription", "transcript", "timestamp", "payload")
_DEEPEST = 4


def _object(data: Any) -> dict[str, Any]:
    """The data itself where it is an object."""
    return data if isinstance(data, dict) else {}


def _first(data: Any) -> dict[str, Any]:
    """The object itself, or the first one of a list."""
    return data if isinstance(data, dict) else next(iter(dicts(data)), {})


def _some(entries: Any, *keys: str) -> bool:
    """Whether one of the objects of a list has all these keys."""
    return any(set(keys) <= entry.keys() for entry in dicts(entries))


def _own_form(data: Any) -> Callable[[str, Any], Parsed] | None:
    """What reads a recogniser whose JSON is no plain list of entries."""
    given, first = _object(data), _first(data)
    results = given.get("results")
    inside = _object(results)
    best_ones = [best(one) for one in dicts(results)]
    times = first.get("timestamp")
    marks = {
        asr_services.read_aws: isinstance(inside.get("items"), list),
        asr_services.read_deepgram: bool(dicts(inside.get("channels"))),
        asr_azure.read_azure_batch: bool(dicts(given.get("recognizedPhrases"))),
        asr_azure.read_azure_sdk: {"Offset", "Duration"} <= first.keys()
        and bool({"NBest", "DisplayText", "Text"} & first.keys()),
        asr_azure.read_video_indexer: _some(given.get("videos"), "insights"),
        asr_services.read_rev: _some(given.get("monologues"), "elements"),
        _read_tiers: isinstance(given.get("tiers"), dict),
        asr_services.read_speechmatics: _some(results, "type", "start_time"),
        asr_services.read_watson: _some(best_ones, "timestamps"),
        asr_services.read_google: _some(best_ones, "transcript"),
        asr_engines.read_vosk: _some(first.get("result"), "word")
        or (isinstance(data, list) and _some(data, "result", "text")),
        asr_engines.read_json3: _some(given.get("events"), "segs"),
        asr_engines.read_soniox: _some(given.get("tokens"), "start_ms"),
        asr_engines.read_elevenlabs: any(map(_has_spacing, [given, *dicts(given.get("transcripts"))])),
        asr_engines.read_trint: _some(given.get("words"), "name", "time", "duration"),
        asr_engines.read_funasr: isinstance(first.get("text"), str)
        and isinstance(times, list)
        and any(isinstance(pair, list) for pair in times)
        and "sentence_info" not in first,
    }
    return next((read for read, is_it in marks.items() if is_it), None)


def _read_tiers(file: str, data: dict[str, Any]) -> Parsed:
    """A TextGrid as JSON, as the Montreal Forced Aligner and praatio write it."""
    parsed = Parsed("TextGrid as JSON")
    tiers = []
    for name, tier in data["tiers"].items():
        listed = _object(tier).get("entries")
        entries = [one for one in listed if isinstance(one, list) and len(one) == 3] if isinstance(listed, list) else []
        tiers.append(Tier(str(name), "", [(moment(start), moment(end), str(text)) for start, end, text in entries]))
    add_tiers(parsed, file, tiers)
    return parsed


def _has_spacing(data: dict[str, Any]) -> bool:
    return any(one.get("type") in ("spacing", "audio_event") or "speaker_id" in one for one in dicts(data.get("words")))


def load(text: str) -> Any:
    """What a JSON text holds; several values one after the other, as some recognisers write them, as a list.

    Raises:
        NotATranscriptError: it is no JSON.
    """
    values: list[Any] = []
    decoder, place = json.JSONDecoder(), 0
    text = text.strip().rstrip(",")
    try:
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            values.append(value)
            while place < len(text) and text[place] in " \t\r\n,\x1e":
                place += 1
    except RecursionError as error:
        raise NotATranscriptError("JSON nested too deep") from error
    except ValueError as error:
        raise NotATranscriptError(f"no whole JSON: {error}") from error
    return values[0] if len(values) == 1 else values


def read_asr_json(file: str, data: Any) -> Parsed:
    """The turns of a recogniser's output.

    Args:
        file: name for the messages; a turn's number from 1 follows it.
        data: what `load` gave.

    Raises:
        NotATranscriptError: it is no such output; the message names the keys that were seen.
    """
    parts = list(_parts(data))
    for part, timed in [(part, timed) for timed in (True, False) for part in parts]:
        own = _own_form(part)
        if own is not None and (parsed := own(file, part)).rows:
            return parsed
        if (found := _entries(part, timed)) is not None:
            form, name, entries, unit = found
            parsed = Parsed(form)
            add_entries(parsed, file, entries, unit, are_words=name in _LISTS_OF_WORDS)
            if parsed.rows:
                return parsed
    raise NotATranscriptError(_seen(data))


def _parts(data: Any, depth: int = 0) -> Iterator[Any]:
    """The data, then what is wrapped in it."""
    yield data
    if depth >= _DEEPEST:
        return
    if isinstance(data, dict):
        inner = [data[name] for name in _WRAPPERS if isinstance(data.get(name), dict | list)]
        if not inner and len(data) <= 3:
            inner = [value for value in data.values() if isinstance(value, dict)]
        for one in inner:
            yield from _parts(one, depth + 1)
    elif isinstance(data, list) and len(data) == 1:
        yield from _parts(data[0], depth + 1)
    elif isinstance(data, list) and dicts(data):  # one result after the other, each with its own list
        for name in ("segments", "utterances", "results", "chunks", "words", "sentence_info"):
            if any(name in one for one in dicts(data)):
                yield {name: [entry for one in dicts(data) for entry in dicts(one.get(name))]}


def _entries(data: Any, timed: bool) -> tuple[str, str, list[Any], float | None] | None:
    """(form, where they are kept, entries, unit of their times where the form tells it).

    Args:
        timed: only entries with times count.
    """
    if isinstance(data, list):
        data = {"": _named(data)}
    if not isinstance(data, dict):
        return None
    lists = {
        name: data[name]
        for name in ("", *_LISTS, *map(str, data))
        if isinstance(data.get(name), list) and any(map(is_entry, data[name]))
    }
    usable = [name for name, entries in lists.items() if (has_times(entries) if timed else name in _TURNS)]
    for name in usable:
        form, unit = _form_of(data, name, dicts(lists[name]))
        return form, name, lists[name], unit
    return None


def _named(entries: list[Any]) -> list[Any]:
    """Entries that are lists (`[0.4, 1.3, "words"]`, faster-whisper's tuples) as objects."""
    found = []
    for one in entries:
        texts = [part for part in one if isinstance(part, str)] if isinstance(one, list) else []
        times = [part for part in one if isinstance(part, float)] if isinstance(one, list) else []
        numbers = [part for part in one if isinstance(part, int | float)] if isinstance(one, list) else []
        if not texts or len(numbers) < 2:
            found.append(one)
            continue
        start, end = times[:2] if len(times) > 1 else numbers[:2]
        text = max(texts, key=len)
        speaker = next((other for other in texts if other is not text), None)
        found.append({"start": start, "end": end, "text": text, "speaker": speaker})
    return found


def _form_of(data: dict[str, Any], name: str, entries: list[dict[str, Any]]) -> tuple[str, float | None]:
    keys = set().union(*(entry.keys() for entry in entries[:20])) if entries else set()
    if isinstance(data.get(KEY), dict):
        return shown_form(data[KEY]), 1.0
    if name == "transcription":
        return ("whisper.cpp" if {"offsets", "timestamps"} & keys else "transcription"), None
    if name == "Transcript" and "ParticipantRole" in keys:
        return "AWS Call Analytics", None
    if name == "speakers" or ("chunks" in data and "timestamp" in keys):
        return ("insanely-fast-whisper" if name == "speakers" else "Hugging Face pipeline"), 1.0
    if name == "phrases":
        return "Azure fast transcription", None
    if name == "sentence_info":
        return "FunASR", MILLI
    if (
        name in ("utterances", "words")
        and {"audio_url", "acoustic_model", "audio_duration", "webhook_url"} & data.keys()
    ):
        return "AssemblyAI", MILLI
    if name == "utterances":
        return ("AssemblyAI" if "status" in data else "Gladia" if "full_transcript" in data else "utterances"), None
    if "word_segments" in data or any("speaker" in word for entry in entries for word in dicts(entry.get("words"))):
        return "whisperX", 1.0
    if {"avg_logprob", "no_speech_prob", "seek", "tokens"} & keys or {"task", "language"} & data.keys():
        return "Whisper", 1.0
    if "timestamp" in keys:
        return "Hugging Face pipeline", 1.0
    if {"start", "duration", "text"} <= keys:
        return "youtube-transcript-api", None
    if {"segment", "start_offset"} <= keys or {"session_id", "speaker_count"} & data.keys():
        return "NeMo", 1.0
    return f"JSON of a recogniser that is not known by name (its {name or 'entries'})", None


def _seen(data: Any) -> str:
    """What was found in place of a transcript."""
    if isinstance(data, list):
        inner = [f"a list of {len(data)}"] + (
            [f"with the keys {_keys(data[0])}"] if data and isinstance(data[0], dict) else []
        )
        return f"JSON, {' '.join(inner)}; no form that is known"
    if isinstance(data, dict) and isinstance(data.get("text"), str):
        return f"JSON with the keys {_keys(data)}; it has words and no times"
    if isinstance(data, dict):
        return f"JSON with the keys {_keys(data)}; no form that is known" if data else "an empty JSON object"
    return f"JSON that is {'nothing' if data is None else f'a {type(data).__name__}'}, and no list of turns"


def _keys(data: dict[str, Any]) -> str:
    names = [str(name)[:30] for name in data]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "none"
