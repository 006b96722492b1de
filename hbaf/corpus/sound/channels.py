"""One person per channel, as call centres record: which speaker is on which channel, and when to ask for that.

Channels are never mixed blindly. Without a mapping each utterance of such a recording is a problem with a name; where
that is how a corpus was recorded, the run stops instead of going on without any audio.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from hbaf.corpus.schema import UNNAMED_SPEAKER, CorpusError, is_missing
from hbaf.corpus.text.manifest_values import shown

UNCORRELATED = "uncorrelated channels"  # how the problem of `hbaf.corpus.sound.audio` begins


def parse_channels(text: str) -> dict[str, int]:
    """`"0=agent,1=customer"` -> `{"agent": 0, "customer": 1}`; several speakers may share a channel.

    Raises:
        CorpusError: not of that form, or a speaker on two channels.
    """
    channels: dict[str, int] = {}
    for part in text.split(","):
        number, equals, speaker = (piece.strip() for piece in part.partition("="))
        if not (equals and speaker and number.isdecimal() and len(number) < 4):
            raise CorpusError(
                f"--channels {shown(text)}: {shown(part)} is not NUMBER=SPEAKER. "
                "Channels count from 0: `--channels 0=agent,1=customer`."
            )
        if channels.setdefault(speaker, int(number)) != int(number):
            raise CorpusError(f"--channels {shown(text)}: speaker {shown(speaker)} has two channels. Keep one.")
    return channels


def assign_channels(rows: Iterable[tuple[str, dict[str, Any]]], channels: dict[str, int]) -> None:
    """Gives each row its speaker's channel, and a row with a channel and no speaker the name of who is on it.

    A row's own channel counts before the mapping. Case and spaces of names do not matter. Where nobody is named, people
    are called after their channels.

    Args:
        rows: (where, values) with `speaker` and `channel`; the values are changed in place.
        channels: speaker -> channel from 0; empty: not given.

    Raises:
        CorpusError: rows whose speaker the mapping does not name.
    """
    known = {_plain(speaker): channel for speaker, channel in channels.items()}
    on_channel = {channel: speaker for speaker, channel in reversed(channels.items())}
    unknown: dict[str, str] = {}
    for where, values in rows:
        if values["channel"] is None:
            values["channel"] = known.get(_plain(values["speaker"]))
            if channels and values["channel"] is None:
                unknown.setdefault(values["speaker"], where)
        elif values["speaker"] == UNNAMED_SPEAKER:
            values["speaker"] = on_channel.get(values["channel"], f"channel {values['channel']}")
    if unknown:
        named = ", ".join(f"{shown(speaker)} (first {where})" for speaker, where in list(unknown.items())[:5])
        given = ",".join(f"{channel}={speaker}" for speaker, channel in channels.items())
        raise CorpusError(
            f"--channels {given}: no channel for {len(unknown)} of the speakers: {named}. "
            "Name everybody's channel (several may share one), or give the rows a column `channel`."
        )


def stop_where_channels_differ(corpus: str, utterances: pd.DataFrame) -> None:
    """Does nothing unless more than half of the recordings hold somebody else on each channel.

    Args:
        utterances: with the columns `audio` and `audio_problem`, after measuring.

    Raises:
        CorpusError: they do, and it is not known who is on which channel.
    """
    recordings: dict[str, bool] = {}
    first = ""
    for name, audio, problem in zip(
        utterances["utterance_id"], utterances["audio"], utterances["audio_problem"], strict=True
    ):
        if is_missing(audio):
            continue
        differs = not is_missing(problem) and problem.startswith(UNCORRELATED)
        recordings[audio] = recordings.get(audio, False) or differs
        first = first or (name if differs else "")
    bad = sum(recordings.values())
    if 2 * bad > len(recordings):
        raise CorpusError(
            f"{corpus}: the channels of {bad} of {len(recordings)} recordings hold different sounds, so they are not "
            f"mixed (first {first}). Say who is on which channel: `--channels 0=agent,1=customer`, or a column "
            "`channel` with a number from 0 in each row."
        )


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
