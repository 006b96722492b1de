"""Azure's speech services: batch, SDK and Video Indexer; its fast transcription is a plain list of entries."""

from typing import Any

from hbaf.corpus.text.recognisers.entries import TICK, label_of, moment
from hbaf.corpus.text.recognisers.pieces import add_in_order, best, dicts, words_of
from hbaf.corpus.text.transcripts.parsed import Parsed, Turn


def read_azure_batch(file: str, data: dict[str, Any]) -> Parsed:
    """Azure's batch transcription: phrases with offset and duration, in ticks of 100 ns and as ISO 8601."""
    return _azure(file, "Azure batch", dicts(data["recognizedPhrases"]))


def read_azure_sdk(file: str, data: Any) -> Parsed:
    """What Azure's Speech SDK hands over for each phrase, alone or as a list."""
    return _azure(file, "Azure Speech SDK", [data] if isinstance(data, dict) else dicts(data))


def _azure(file: str, form: str, phrases: list[dict[str, Any]]) -> Parsed:
    parsed = Parsed(form)
    turns = []
    for phrase in phrases:
        given = {name.lower(): value for name, value in phrase.items()}
        if str(given.get("recognitionstatus", "Success")) not in ("Success", "0"):
            continue
        hypothesis = {name.lower(): value for name, value in best(given, "nbest").items()}
        said = next((text for source in (hypothesis, given) for name in ("display", "displaytext", "text", "lexical")
                     if (text := words_of(source.get(name)))), "")  # fmt: skip
        if not said.strip():
            continue
        start, length = (
            moment(given.get(f"{name}inticks"), TICK) if f"{name}inticks" in given else moment(given.get(name), TICK)
            for name in ("offset", "duration")
        )
        end = None if start is None or length is None else start + length
        speaker = label_of(given.get("speaker", given.get("speakerid")))
        turns.append(Turn(said, start, end, speaker, label_of(given.get("channel"))))
    add_in_order(parsed, file, turns)
    return parsed


def read_video_indexer(file: str, data: dict[str, Any]) -> Parsed:
    """Azure Video Indexer: lines with the numbers of speakers and one or more instances in time."""
    parsed = Parsed("Azure Video Indexer")
    turns = []
    for video in dicts(data["videos"]):
        insights = given if isinstance(given := video.get("insights"), dict) else {}
        names = {one.get("id"): label_of(one.get("name")) for one in dicts(insights.get("speakers"))}
        for line in dicts(insights.get("transcript")):
            speaker = names.get(line.get("speakerId")) or label_of(line.get("speakerId"))
            for one in dicts(line.get("instances"))[:1]:
                turns.append(
                    Turn(words_of(line.get("text")), moment(one.get("start")), moment(one.get("end")), speaker)
                )
    add_in_order(parsed, file, turns)
    return parsed
