"""A validation as a page for whoever owns the corpus: broken rules first, with the rows themselves, and distributions.

It names conversations and quotes them, so it stays in the home; what goes to MLflow and Prefect has ids as they may be
shown (`hbaf.validation.report`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaf.corpus.schema import Corpus
from hbaf.home import write_atomically
from hbaf.parameters import ValidationParameters
from hbaf.report.charts import stacked
from hbaf.report.conversation import clock, number_of, palette_of, words_of
from hbaf.report.pages import render
from hbaf.validation.broken_rows import as_csv, broken_rows
from hbaf.validation.report import RuleResult, ValidationResult
from hbaf.validation.rules import RULES, Rule
from hbaf.validation.tables import dialogue_table, utterance_table

OWN = "own"  # folder beside the pages that may be shown
SHOWN_ROWS = 20  # of each broken rule
BINS = 40


def write_validation_page(
    result: ValidationResult, corpus: Corpus, parameters: ValidationParameters, folder: Path
) -> Path:
    """Writes `own/index.html` and `own/broken_rows.csv` into the folder of a validation's pages.

    Returns:
        The page.
    """
    tables = {"utterances": utterance_table(corpus), "dialogues": dialogue_table(corpus), "corpus": pd.DataFrame()}
    broken = broken_rows(tables, parameters)  # type: ignore[arg-type]  # literals as keys
    rows = corpus.utterances.drop_duplicates("utterance_id").set_index("utterance_id")
    own = folder / OWN
    own.mkdir(parents=True, exist_ok=True)
    write_atomically(own / "broken_rows.csv", as_csv(broken))
    ranked = result.worst_first()
    page = render(
        "report_validation",
        corpus=corpus.name,
        ok=result.ok,
        summary=result.summary(),
        notes=result.notes,
        root=str(corpus.root),
        utterances=len(corpus.utterances),
        dialogues=int(corpus.utterances["dialogue_id"].nunique()),
        kept=sum(rule.passed for rule in ranked),
        critical=len(result.failures("critical")),
        warnings=len(result.failures("warning")),
        broken=[_rule(rule, broken, rows) for rule in ranked if rule.failed or rule.broken_rows],
        fine=[rule for rule in ranked if not rule.failed and not rule.broken_rows],
        charts=[chart for rule in RULES if (chart := _chart(rule, tables, parameters)) is not None],
        splits=_splits(result.counts, corpus.emotions),
    )
    write_atomically(own / "index.html", page.encode("utf-8", "replace"))
    return own / "index.html"


def _rule(rule: RuleResult, broken: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Any]:
    """A broken rule with its first rows, as the owner finds them in the source."""
    mine = broken[broken["rule"] == rule.name]
    return {
        "rule": rule,
        "rows": [_row(one["utterance_id"], one["value"], rows) for one in mine.head(SHOWN_ROWS).to_dict("records")],
        "more": max(0, len(mine) - SHOWN_ROWS),
        "values": bool(mine["value"].astype("str").ne("").any()),
    }


def _row(name: str, value: Any, rows: pd.DataFrame) -> dict[str, str]:
    if name not in rows.index:
        return {"id": name, "value": str(value), "speaker": "", "words": "", "audio": "", "problem": ""}
    row = {str(column): found for column, found in rows.loc[name].items()}
    start, end = number_of(row, "start"), number_of(row, "end")
    times = "" if start is None else f" {clock(start)}" + ("" if end is None else f" to {clock(end)}")
    problems = (words_of(row.get(f"{modality}_problem")) for modality in ("audio", "text"))
    return {
        "id": name,
        "value": str(value),
        "speaker": words_of(row.get("speaker")),
        "words": words_of(row.get("text")),
        "audio": words_of(row.get("audio")) + times,
        "problem": "; ".join(filter(None, problems)),
    }


def _chart(rule: Rule, tables: Mapping[str, pd.DataFrame], parameters: ValidationParameters) -> dict[str, Any] | None:
    """The distribution of the numbers that a rule bounds; None where there is nothing to draw."""
    if rule.kind != "between" or rule.table == "corpus":
        return None
    values = tables[rule.table][rule.column].dropna().to_numpy(float)
    if len(np.unique(values)) < 2:
        return None
    low, high = rule.bounds(parameters)
    first, last = np.quantile(values, [0.005, 0.995])
    if first == last:
        first, last = values.min(), values.max()
    counts, edges = np.histogram(values.clip(first, last), BINS, (first, last))
    middle = (edges[:-1] + edges[1:]) / 2
    outside = ((middle < low) if low is not None else False) | ((middle > high) if high is not None else False)
    wide = 100 / BINS
    bounds = [(bound, 100 * (bound - first) / (last - first)) for bound in (low, high) if bound is not None]
    return {
        "title": rule.column.replace("_", " "),
        "meaning": rule.meaning_under(parameters),
        "bars": [
            (round(at * wide, 3), round(wide * 0.86, 3), round(100 * count / counts.max(), 2), bool(bad))
            for at, (count, bad) in enumerate(zip(counts, np.broadcast_to(outside, counts.shape), strict=True))
        ],
        "bounds": [(round(place, 2), f"{bound:g}") for bound, place in bounds if 0 <= place <= 100],
        "first": f"{first:.3g}",
        "last": f"{last:.3g}",
        "median": f"{np.median(values):.3g}",
    }


def _splits(counts: Mapping[str, Mapping[str, int]], emotions: Sequence[str]) -> dict[str, Any]:
    """Dialogues, utterances and the mix of labels of each split."""
    palette = palette_of(emotions)
    return {
        "legend": list(zip(palette.emotions, palette.slots, strict=True)),
        "rows": [
            {
                "name": split,
                "dialogues": found["dialogues"],
                "utterances": found["utterances"],
                "unlabelled": found["unlabelled"],
                "mix": stacked([found[emotion] for emotion in emotions], palette.slots),
                "labels": [
                    (name, slot, found[e])
                    for name, slot, e in zip(palette.emotions, palette.slots, emotions, strict=True)
                ],
            }
            for split, found in counts.items()
        ],
    }
