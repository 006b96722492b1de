"""Labels that people gave to the utterances of a corpus, kept in the home: who gave which, when, from which file.

`labels/<corpus>.jsonl` (mode 0600) holds one annotation of an utterance by an annotator: the latest one counts. The
readers' corpora take them up (`with_annotations`), so that the next validation and training know them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hbaf.corpus.labels import LabelMap
from hbaf.corpus.schema import Corpus, is_missing
from hbaf.files import read_lines, write_atomically
from hbaf.home import directory, home_folder
from hbaf.parameters import CorpusParameters
from hbaf.waiting import alone

FOLDER = "labels"


@dataclass(frozen=True)
class Annotation:
    """What one person says of one utterance.

    Attributes:
        emotion: as the person wrote it, in plain spelling, before `corpus.labels`; "": no label, only a note.
        annotator: a name; personal data, as `speaker` and `note` may be.
        at: when it was given, ISO 8601.
        file: the name of the file that it came from; "" where it was saved by `hbaf review`.
        content: `content_of` the utterance that the person saw.
        speaker: who says the utterance.
    """

    utterance_id: str
    emotion: str
    annotator: str
    at: str
    file: str = ""
    content: str = ""
    speaker: str = ""
    note: str = ""

    @property
    def dialogue_id(self) -> str:
        """Of the utterance."""
        return self.utterance_id.partition("/")[2].rpartition("/")[0]


@dataclass(frozen=True)
class Added:
    """What became of annotations that were given: how many are new, replace an earlier one, or were there already."""

    new: int
    changed: int
    same: int


def content_of(utterance: Mapping[str, Any]) -> str:
    """A digest of what an utterance says, or of where its sound lies: an id alone may come to mean another one.

    Args:
        utterance: a row of `Corpus.utterances`, or of scores.
    """
    names = ("audio", "channel", "start", "end")
    says = [utterance.get("text")]
    if is_missing(says[0]):
        says = [utterance.get(name) for name in names]
    plain = [None if is_missing(value) else value if isinstance(value, str) else float(value) for value in says]  # type: ignore[arg-type]
    return hashlib.sha256(json.dumps(plain).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def annotated_corpora() -> list[str]:
    """The names of the corpora that have annotations in this home."""
    return sorted(file.stem for file in (home_folder() / FOLDER).glob("*.jsonl"))


def read_annotations(corpus: str) -> list[Annotation]:
    """Those of one corpus, in order of utterance and annotator."""
    known = {item.name for item in fields(Annotation)}  # a newer hbaf may keep more
    lines = read_lines(_file(corpus))
    return [Annotation(**{name: value for name, value in facts.items() if name in known}) for facts in lines]


def add_annotations(corpus: str, given: Sequence[Annotation]) -> Added:
    """Keeps annotations; one without label and note removes what that annotator said of the utterance."""
    counts: Counter[str] = Counter()

    def added(there: list[Annotation]) -> list[Annotation]:
        kept = {(one.utterance_id, one.annotator): one for one in there}
        for one in given:
            key = (one.utterance_id, one.annotator)
            before = kept.get(key)
            if before is not None and _says(before) == _says(one):
                counts["same"] += 1
            elif one.emotion or one.note:
                kept[key] = one
                counts["new" if before is None else "changed"] += 1
            elif before is not None:
                del kept[key]
                counts["changed"] += 1
        return list(kept.values())

    change_annotations(corpus, added)
    return Added(counts["new"], counts["changed"], counts["same"])


def change_annotations(corpus: str, change: Callable[[list[Annotation]], list[Annotation]]) -> None:
    """Writes the annotations of a corpus anew, one process at a time; without any left the file is gone."""
    file = _file(corpus)
    with alone(directory(FOLDER) / ".lock"):
        before = read_annotations(corpus)
        after = change(before)
        if after == before:
            return
        if not after:
            file.unlink()
            return
        ordered = sorted(after, key=lambda one: (one.utterance_id, one.annotator))
        lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in ordered)
        write_atomically(file, "".join(lines).encode("utf-8", "replace"), private=True)


def with_annotations(corpus: Corpus, parameters: CorpusParameters) -> Corpus:
    """A corpus as its source gives it -> with the labels that people gave: what most annotators say of an utterance.

    They count before the label of the source. Where annotators are evenly split, the source's label stays, or none.
    Annotations of utterances that are gone, or that say something else by now, are left out, and a note says how many.
    """
    annotations = [one for one in read_annotations(corpus.name) if one.emotion]
    if not annotations:
        return corpus
    votes, lost = votes_of(corpus, annotations, LabelMap(parameters))
    emotions = corpus.emotions or tuple(sorted({emotion for of in votes.values() for emotion in of if emotion}))
    known = {*emotions, ""}
    unknown = sum(sum(of.values()) for of in votes.values() if set(of) - known)
    decided = {name: most_say(of) for name, of in votes.items() if set(of) <= known}
    split = sum(emotion is None for emotion in decided.values())
    labels = {name: emotion for name, emotion in decided.items() if emotion is not None}
    ids, own = corpus.utterances["utterance_id"], corpus.utterances["emotion"]
    emotion = [
        (labels[name] or None) if name in labels else (None if is_missing(label) else label)
        for name, label in zip(ids, own, strict=True)
    ]
    replaced = sum(
        name in labels and not is_missing(label) and labels[name] != label for name, label in zip(ids, own, strict=True)
    )
    notes = [
        f"{len(labels)} labels are those that {_people(annotations)} gave (`hbaf label`)"
        + (f"; {replaced} of them in place of another label of the source" if replaced else "")
    ]
    if split:
        notes.append(
            f"annotators are evenly split on {split} of the utterances: these keep the source's label, or none; a "
            "further annotator decides"
        )
    if lost:
        were = "was given to an utterance that is gone or says"
        if lost > 1:
            were = "were given to utterances that are gone or say"
        notes.append(f"{lost} of the labels {were} something else now: not used")
    if unknown:
        notes.append(f"{unknown} labels are none of {', '.join(emotions)}: not used; name all in `corpus.emotions`")
    utterances = corpus.utterances.assign(emotion=pd.Series(emotion, corpus.utterances.index, dtype="str"))
    return replace(corpus, utterances=utterances, emotions=emotions, notes=(*corpus.notes, *notes))


def votes_of(
    corpus: Corpus, annotations: Sequence[Annotation], labels: LabelMap
) -> tuple[dict[str, Counter[str]], int]:
    """(utterance -> emotion, "" for none -> how many annotators say so; how many annotations fit no utterance)."""
    contents = {row["utterance_id"]: content_of(row) for row in _rows(corpus, annotations)}
    votes: dict[str, Counter[str]] = {}
    lost = 0
    for one in annotations:
        if contents.get(one.utterance_id) != one.content:
            lost += 1
            continue
        votes.setdefault(one.utterance_id, Counter())[labels(one.emotion)] += 1
    return votes, lost


def most_say(votes: Counter[str]) -> str | None:
    """The emotion that more annotators chose than any other; None where two have as many."""
    (first, most), *others = votes.most_common(2)
    return None if others and others[0][1] == most else first


def _says(one: Annotation) -> tuple[str, str, str]:
    return one.emotion, one.note, one.content


def _rows(corpus: Corpus, annotations: Sequence[Annotation]) -> list[dict[str, Any]]:
    wanted = {one.utterance_id for one in annotations}
    columns = ["utterance_id", "text", "audio", "channel", "start", "end"]
    rows: list[Any] = corpus.utterances.loc[corpus.utterances["utterance_id"].isin(wanted), columns].to_dict("records")
    return rows


def _people(annotations: Sequence[Annotation]) -> str:
    count = len({one.annotator for one in annotations})
    return "one annotator" if count == 1 else f"{count} annotators"


def _file(corpus: str) -> Path:
    return home_folder() / FOLDER / f"{corpus}.jsonl"
