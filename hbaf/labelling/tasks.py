"""Chosen conversations as files to label in: Label Studio, Praat, ELAN, Audacity; and a table of what was chosen."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hbaf.corpus.schema import Corpus
from hbaf.files import write_atomically
from hbaf.labelling.given import LabellingError
from hbaf.labelling.label_studio import interface_of, tasks_of
from hbaf.labelling.sample import Chosen
from hbaf.report.conversation import slug_of
from hbaf.scoring.exports import WRITERS, timed_turns
from hbaf.scoring.schema import as_cell

LABEL_STUDIO = "label-studio"
FORMS = (LABEL_STUDIO, "textgrid", "eaf", "audacity")
TABLE = "sample.csv"
PREDICTED = ("label", "confidence", "model_version")  # of scored rows


def write_tasks(
    corpus: Corpus, scores: pd.DataFrame, chosen: Sequence[Chosen], folder: Path, wanted: Sequence[str]
) -> tuple[list[Path], int]:
    """Writes what was chosen into a folder: whole conversations, with the model's predictions marked as such.

    Args:
        scores: rows of the corpus, or none.
        wanted: names of `FORMS`.

    Returns:
        The files, and how many conversations have no times, so that no tiers can be written of them.

    Raises:
        LabellingError: a file is there already: somebody may have labelled in it.
    """
    table = corpus.utterances.reindex(columns=[name for name in corpus.utterances if name not in PREDICTED])
    there = [name for name in PREDICTED if name in scores]
    if there:
        table = table.merge(scores[["utterance_id", *there]], on="utterance_id", how="left")
    contents: dict[Path, str] = {folder / TABLE: _table(chosen)}
    conversations = []
    without_times = 0
    for one in chosen:
        name = one.candidate.dialogue_id
        rows = table[table["dialogue_id"] == name]
        conversations.append((one.part, rows))
        timed = [form for form in wanted if form in WRITERS]
        turns = timed_turns(rows.sort_values("turn"), ids=True) if timed else []
        without_times += bool(timed) and not turns
        for form in timed if turns else ():
            suffix, write = WRITERS[form]
            contents[folder / one.part / f"{slug_of(corpus.name, name)}.{suffix}"] = write(turns)
    if LABEL_STUDIO in wanted:
        tasks = tasks_of(conversations)
        emotions = corpus.emotions or tuple(sorted(table.get("label", pd.Series(dtype="str")).dropna().unique()))
        contents[folder / "tasks.json"] = json.dumps(tasks, ensure_ascii=False, indent=1)
        contents[folder / "interface.xml"] = interface_of(emotions)
    if existing := [path for path in contents if path.exists()]:
        raise LabellingError(
            f"{existing[0]}: is there already, and somebody may have labelled in it. Choose another `--output`."
        )
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.encode("utf-8", "replace"))
    return list(contents), without_times


def _table(chosen: Sequence[Chosen]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["part", "dialogue_id", "turns", "uncertainty", "disagreement", "predicted", "speakers"])
    for part, one in ((each.part, each.candidate) for each in chosen):
        figures = ["" if value != value else round(value, 4) for value in (one.uncertainty, one.disagreement)]
        named = ["; ".join(f"{name} {count}" for name, count in of.most_common()) for of in (one.classes, one.speakers)]
        writer.writerow([part, as_cell(one.dialogue_id), one.turns, *figures, *map(as_cell, named)])
    return text.getvalue()
