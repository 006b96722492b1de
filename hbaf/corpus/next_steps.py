"""What is wrong with the rows of a corpus, for the person who can mend it: place, rule, what came, next step."""

from collections.abc import Iterator

import pandas as pd

from hbaf.corpus.schema import is_missing
from hbaf.corpus.text.transcripts.forms import FORMS

# How a rule or a problem begins -> what to do about it. The problems of `hbaf.corpus.sound.audio` say so themselves.
NEXT_STEPS = {
    # rows that are set aside
    "no dialogue": "Name the dialogue that the row belongs to.",
    "turn is not a number": "Number the turns, or remove the column: then the order of the rows counts.",
    "doubled dialogue and": "Number the turns of each dialogue without repeats.",
    "end before start": "Correct start and end: seconds from the beginning of the file.",
    "time is not understood": "Write seconds (1.5) or hours:minutes:seconds (00:00:01.5).",
    "unknown label": "Correct it, leave it empty, or add it to `corpus.emotions`.",
    "unknown split": "Write train, dev or test, or leave it empty.",
    "channel is not a number": "Channels count from 0; or leave it empty.",
    "too few fields": "Complete the row; a field that is not known stays empty between its separators.",
    "too many fields": "Put quotation marks round text that holds the separator.",
    "wrong number of fields": "Put quotation marks round text that holds the separator.",
    "broken quotation marks": "Close them, and double those inside a field.",
    "undecodable characters": "Save the file as UTF-8.",
    "not valid JSON": "Write one object per line.",
    "not a JSON object": "Write one object per line.",
    "doubled column": "Keep one of the two.",
    "text without a time": "Give the cue a line `00:00:01.000 --> 00:00:02.000`, or remove it.",
    "segment without text": "Give it a text, or remove it.",
    "not a transcript": f"Export it as one of these: {FORMS}.",
    "recording without transcript": "Put its transcript beside it, or make one: `hbaf transcribe FOLDER`.",
    # rows that stay, with one of their two sides missing
    "no text": "The row is judged by its sound alone; write down what is said.",
    "no audio": "The row is judged by its text alone; put the file there, or correct the path.",
    "no recording": "The rows are judged by their text alone; put the recording beside the transcript.",
    "not a regular file:": "The row is judged by its text alone; put an audio file there.",
    "path leaves": "The row is judged by its text alone; copy the file into the folder of the corpus.",
    "path cannot be followed": "The row is judged by its text alone; put the file itself there in place of a link.",
    "no start and end, which": "The row is judged by its text alone; give it start and end.",
    "the transcript has no time": "The row is judged by its text alone; give it start and end.",
    "no start, and other turns": "The row is judged by its text alone; give it a start.",
    "ends when it starts": "The row is judged by its text alone; correct start and end.",
}
_AFTER_A_NUMBER = {
    "characters, cut at": "The row is judged by its sound alone; split it into the turns that were said.",
    "files are called like it": "The row is judged by its text alone; write the path of the one that is meant.",
    "files are called": "Several files fit; the row is judged by its text alone.",
    "people speak in this cue": "The rows are judged by their text alone; give each person a cue.",
}


def next_step(rule: str) -> str:
    """What to do about a rule that is broken, or a problem; empty where that says so itself."""
    found = next((step for start, step in NEXT_STEPS.items() if rule.startswith(start)), "")
    return found or next((step for part, step in _AFTER_A_NUMBER.items() if part in rule), "")


def tell(corpus_set_aside: pd.DataFrame, utterances: pd.DataFrame, most: int = 10) -> Iterator[str]:
    """Yields lines for a terminal: rows that were set aside, then what the other rows lack, each kind once.

    Args:
        corpus_set_aside: `row`, `rule`, `found`.
        utterances: with `text_problem` and `audio_problem`.
        most: lines of either sort.
    """
    for row in corpus_set_aside.head(most).itertuples():
        found = f", found {row.found!s}" if row.found else ""
        yield f"set aside: {row.row!s}: {row.rule!s}{found}. {next_step(str(row.rule))}".rstrip()
    if len(corpus_set_aside) > most:
        yield f"set aside: {len(corpus_set_aside) - most} more rows"
    kinds: dict[str, list[str]] = {}
    for name, *problems in zip(
        utterances["utterance_id"], utterances["text_problem"], utterances["audio_problem"], strict=True
    ):
        for problem in problems:
            if not is_missing(problem):
                kinds.setdefault(problem, []).append(name)
    for problem, names in list(kinds.items())[:most]:
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        step = next_step(problem)
        yield f"marked: {names[0]}{others}: {problem}{'. ' if step else ''}{step}"
    if len(kinds) > most:
        yield f"marked: {sum(map(len, list(kinds.values())[most:]))} more rows"
