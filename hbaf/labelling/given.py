"""What a file of labels says, whatever its form: labels before they are joined to the utterances of a corpus."""

from dataclasses import dataclass, field

SetAside = tuple[str, str, str]  # where (file and row), rule, found


class LabellingError(ValueError):
    """Labels cannot be read, or nothing can be chosen for labelling; the message names the file and the next step."""


@dataclass(frozen=True)
class Given:
    """One label, and how its file names the utterance: by id, by dialogue and turn, or by its time in a dialogue.

    Attributes:
        where: file and row or place in it, as messages name it.
        label: as written.
        utterance_id: "" where the file does not name it.
        dialogue: id, or the name of the file; "" where `utterance_id` names it whole.
        turn: as the source numbers its turns; "" without.
        span: (start, end), seconds from the beginning of the dialogue.
        speaker: who is labelled; "" where the file does not say.
        annotator: "" where the file does not say.
        at: ISO 8601, "" where the file does not say.
        content: of the utterance that the person saw, where the file keeps it (`hbaf.corpus.annotations.content_of`).
    """

    where: str
    label: str
    utterance_id: str = ""
    dialogue: str = ""
    turn: str = ""
    span: tuple[float, float] | None = None
    speaker: str = ""
    annotator: str = ""
    at: str = ""
    note: str = ""
    content: str = ""


@dataclass
class LabelFile:
    """A file of labels.

    Attributes:
        form: what it is, for people: "Label Studio".
        given: its labels; a row without a label is none.
        problems: rows that cannot be read.
        unchanged: how many predictions in it nobody touched, which are no labels.
        taken_over: how many predictions somebody submitted as they were, which are labels.
        by_file: whether several files of an annotator are expected, so that a file's name does not name the annotator.
    """

    form: str
    given: list[Given] = field(default_factory=list)
    problems: list[SetAside] = field(default_factory=list)
    unchanged: int = 0
    taken_over: int = 0
    by_file: bool = False
