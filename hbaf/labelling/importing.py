"""Labels of files -> annotations of a corpus, joined by utterance id and never by order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hbaf.corpus.annotations import Added, Annotation, add_annotations, content_of, read_annotations
from hbaf.corpus.labels import LabelMap, plain_label
from hbaf.corpus.schema import Corpus, is_missing
from hbaf.corpus.text.manifest_values import BadRow, clean, shown
from hbaf.labelling.agreement import Agreement, agreement_of
from hbaf.labelling.files import read_labels
from hbaf.labelling.given import Given, LabellingError, SetAside
from hbaf.parameters import CorpusParameters
from hbaf.report.conversation import slug_of
from hbaf.scoring.exports import timed_turns
from hbaf.settings import did_you_mean

OVERLAP = 0.5  # of two times, as a share of what either covers: below it a label is of no turn


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        corpus: its name.
        forms: what was read: file and form.
        added: what became of the labels that could be joined.
        problems: (file and row, rule, what came) of those that could not.
        unchanged: predictions in the files that nobody touched: no labels.
        taken_over: predictions that somebody submitted as they were: labels.
        emotions: the label set; `closed` says whether other labels are refused.
        counts: emotion -> how many annotations of the corpus say so, all imports together.
        agreement: of all annotators of the corpus; None where no two labelled the same utterance.
    """

    corpus: str
    forms: tuple[tuple[str, str], ...]
    added: Added
    problems: tuple[SetAside, ...]
    unchanged: int
    taken_over: int
    emotions: tuple[str, ...]
    closed: bool
    counts: dict[str, int]
    agreement: Agreement | None


def import_labels(
    corpus: Corpus, files: Sequence[Path], parameters: CorpusParameters, *, annotator: str = ""
) -> Imported:
    """Joins the labels of files to a corpus and keeps them in the home; what cannot be joined is a problem of its row.

    Args:
        corpus: as its source gives it, with the facts of its sound: labels by time are joined by them.
        parameters: of that corpus; `labels` maps these labels too.
        annotator: who gave labels whose file does not say; default: the name of the file, for tables.

    Raises:
        LabellingError: a file holds no labels, or does not say who gave them.
    """
    labels, places = LabelMap(parameters), _Places(corpus)
    read = [(path, read_labels(path, parameters.limits)) for path in files]
    problems = [problem for _, file in read for problem in file.problems]
    joined: dict[tuple[str, str], Annotation] = {}
    for path, file in read:
        by_default = annotator or ("" if file.by_file else path.stem)
        moment = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        for one in file.given:
            if not (who := one.annotator or by_default):
                raise LabellingError(
                    f"{path}: says nothing of who gave the labels, and is named after a conversation. Say who: "
                    "`--annotator NAME`, once for each person."
                )
            try:
                found = _annotation(one, places, labels, corpus.emotions)
                found = replace(found, annotator=" ".join(who.split()), at=one.at or moment, file=path.name)
                _add(joined, found)
            except BadRow as bad:
                problems.append((one.where, bad.rule, bad.found))
    added = add_annotations(corpus.name, list(joined.values()))
    annotations = read_annotations(corpus.name)
    counts = Counter(labels(one.emotion) for one in annotations if one.emotion)
    return Imported(
        corpus=corpus.name,
        forms=tuple((path.name, file.form) for path, file in read),
        added=added,
        problems=tuple(problems),
        unchanged=sum(file.unchanged for _, file in read),
        taken_over=sum(file.taken_over for _, file in read),
        emotions=corpus.emotions or tuple(sorted(counts)),
        closed=bool(corpus.emotions),
        counts=dict(sorted(counts.items())),
        agreement=agreement_of(corpus, annotations, labels),
    )


class _Places:
    """The utterances of a corpus by everything that a file may call them.

    Attributes:
        rows: by utterance id.
        contents: utterance id -> `content_of` it.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.rows = corpus.utterances.set_index("utterance_id", drop=False)
        self.rows.index.name = None
        records = corpus.utterances.to_dict("records")
        self.contents = {str(row["utterance_id"]): content_of(row) for row in records}  # type: ignore[arg-type]
        self.name = corpus.name
        self._turns = {(str(row["dialogue_id"]), str(row["source_id"])): str(row["utterance_id"]) for row in records}
        self._dialogues = {name: name for name in map(str, self.rows["dialogue_id"].unique())}
        for name in list(self._dialogues):
            self._dialogues.setdefault(slug_of(corpus.name, name), name)

    def of(self, one: Given) -> str | None:
        """The utterance that a label is about; None where there is none."""
        if one.utterance_id:
            named = (one.utterance_id, f"{self.name}/{one.utterance_id}")
            if found := next((name for name in named if name in self.contents), None):
                return found
            return self._turns.get((one.dialogue, one.utterance_id))
        if one.span is not None:
            return self._at(one)
        return self._turns.get((self._dialogues.get(one.dialogue, ""), one.turn))

    def _at(self, one: Given) -> str | None:
        assert one.span is not None
        dialogue = self._dialogues.get(one.dialogue)
        if dialogue is None:
            return None
        rows = self.rows[self.rows["dialogue_id"] == dialogue]
        if one.speaker in set(rows["speaker"].dropna()):
            rows = rows[rows["speaker"] == one.speaker]
        turns = timed_turns(rows.sort_values("turn"), ids=True)
        shares = {turn.utterance_id: _share((turn.start, turn.end), one.span) for turn in turns}
        best = max(shares, key=lambda name: shares[name], default=None)
        return best if best is not None and shares[best] >= OVERLAP else None


def _annotation(one: Given, places: _Places, labels: LabelMap, emotions: Sequence[str]) -> Annotation:
    """A label joined to its utterance, not yet with who gave it.

    Raises:
        BadRow: the utterance is not there or says something else by now, or the label is none of the emotions.
    """
    name = places.of(one)
    if name is None:
        raise BadRow("no such utterance", _named(one))
    if one.content and one.content != places.contents[name]:
        raise BadRow("the utterance says something else now than when it was labelled", name)
    label = plain_label(clean(one.label))
    emotion = labels(label)
    if emotion and emotions and emotion not in emotions:
        known = f"{shown(emotion)}, not one of {', '.join(emotions)}"
        raise BadRow("unknown label", known + did_you_mean(emotion, list(emotions)))
    speaker = places.rows.at[name, "speaker"]
    return Annotation(
        name, label, "", "", "", places.contents[name], "" if is_missing(speaker) else str(speaker), clean(one.note)
    )


def _named(one: Given) -> str:
    """How a label names its utterance, for messages."""
    if one.utterance_id:
        return shown(one.utterance_id)
    if one.span is not None:
        start, end = one.span
        return f"{start:g} to {end:g} s of {shown(one.dialogue)}" + (f", {one.speaker}" if one.speaker else "")
    return f"dialogue {shown(one.dialogue)}, turn {shown(one.turn)}" if one.dialogue else "no id, no dialogue"


def _add(joined: dict[tuple[str, str], Annotation], one: Annotation) -> None:
    """Of two labels that one person gave an utterance the later one counts.

    Raises:
        BadRow: they differ, and were given at the same time.
    """
    key = (one.utterance_id, one.annotator)
    before = joined.get(key)
    if before is not None and before.at == one.at and before.emotion != one.emotion:
        raise BadRow("two labels of one annotator", f"{one.utterance_id}: {before.emotion} and {one.emotion}")
    if before is None or before.at <= one.at:
        joined[key] = one


def _share(one: tuple[float, float], other: tuple[float, float]) -> float:
    both = min(one[1], other[1]) - max(one[0], other[0])
    either = max(one[1], other[1]) - min(one[0], other[0])
    return both / either if either > 0 else 0.0
