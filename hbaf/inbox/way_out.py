"""The way out of quarantine: what a reason advises as an option becomes the command that works for this source."""

import re

from hbaf.inbox.schedule.sources import read_schedule, shown_place
from hbaf.inbox.source import SourceParameters
from hbaf.scoring.purpose import Purpose

WORDS = "`--transcribe` lets each run write down what is said"
MENDS = {"text": "Put a transcript of its name beside it", "audio": "Send its recording"}
# As readers advise it, and nothing else that may stand in a name of a file: a person copies it into a shell.
_SETTING = rf"corpus\.(?:{'|'.join(SourceParameters.model_fields)})"
OPTION = re.compile(
    rf"`(--transcribe|--channels 0=agent,1=customer|--set {_SETTING}[\w.]*=[\w.]+|--set '{_SETTING}=\{{[^'`]*\}}')`"
)


def lacks_all(what: str, table: str, transcribes: bool) -> str:
    """Why a conversation is held in which no turn can be scored.

    Args:
        what: the reason of its turns (`hbaf.scoring.unscored`).
        table: the manifest that it stands in; "" where it is a recording.
        transcribes: recordings without words get some, as far as somebody speaks in them.
    """
    lacking = next((name for name in MENDS if f"no {name}" in what), "text")
    if lacking == "text" and table:
        return (
            f"no turn can be scored: {what}. Write the words into {table}, column `text`. It then comes back by itself."
        )
    ways = f"; or {WORDS}" if lacking == "text" and not transcribes else ""
    return f"no turn can be scored: {what}. {MENDS[lacking]}{ways}. It then comes back by itself."


def with_command(reason: str, source: SourceParameters, purpose: Purpose) -> str:
    """The reason with whole commands in place of options; what they change, the next run reads again."""
    known = read_schedule().at(source.url)
    place = shown_place(source.url)
    command = f"hbaf schedule add {place}" if known else f"hbaf inbox score {place} --purpose {purpose}"
    # A source's settings are called after it.
    return OPTION.sub(lambda option: f"`{command} {option[1].replace('corpus.', 'source.', 1)}`", reason)
