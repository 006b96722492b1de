"""Nothing in scores.csv is a formula to a spreadsheet, whichever column it came in; nothing else changes."""

import csv
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from hbaf.scoring.schema import FORMULA_STARTS
from hbaf.scoring.score import write_table

HOSTILE = [
    '=HYPERLINK("http://127.0.0.1/"&A1)',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "＝1+1",
    "=cmd|' /C calc'!A0",
]
HARMLESS = ["hello", "a=b", "", "'quoted'", "1 - 1", "שלום", "two\nlines", '<script>alert("x")</script>', "é,;|"]


@pytest.mark.parametrize("column", ["text", "speaker", "dialogue_id", "source_id"])
def test_formulas_are_disarmed_and_words_are_left_alone(tmp_path: Path, column: str) -> None:
    texts = [*HOSTILE, *HARMLESS, "\r=1", "words\r=1"]
    scores = pd.DataFrame({column: texts, "start": [-1.5] * len(texts), "label": "joy"}).astype({column: "str"})
    write_table(pa.Table.from_pandas(scores), tmp_path, csv=True)
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [row[column] for row in rows]
    assert not any(cell.startswith(FORMULA_STARTS) for cell in cells)
    assert cells == [*(f"'{text}" for text in HOSTILE), *HARMLESS, "'\n=1", "words\n=1"]
    assert {row["start"] for row in rows} == {"-1.5"}  # a number stays one
    assert pd.read_parquet(tmp_path / "scores.parquet")[column].tolist() == texts
