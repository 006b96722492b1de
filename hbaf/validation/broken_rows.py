"""Every row that breaks a rule, as a table to work through: ids and numbers, never words, speakers or file names."""

import csv
import io
from collections.abc import Mapping

import pandas as pd

from hbaf.parameters import ValidationParameters
from hbaf.validation.rules import RULES, Rule, TableName


def broken_rows(tables: Mapping[TableName, pd.DataFrame], parameters: ValidationParameters) -> pd.DataFrame:
    """`rule`, `severity`, `utterance_id`, `value` of all rows that break a rule, tolerated ones too.

    Args:
        tables: as `hbaf.validation.tables.tables_of` makes them.
    """
    parts = [_broken(rule, tables[rule.table], parameters) for rule in RULES if rule.table != "corpus"]
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def as_csv(rows: pd.DataFrame) -> bytes:
    """For a spreadsheet; an id that a spreadsheet would run as a formula is disarmed by an apostrophe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(rows.columns)
    for row in rows.itertuples(index=False):
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@" else cell for cell in row])
    return text.getvalue().encode()


def _broken(rule: Rule, table: pd.DataFrame, parameters: ValidationParameters) -> pd.DataFrame:
    values = table[rule.column]
    if rule.kind == "rows":
        broken = pd.Series(False, index=table.index)
    elif rule.kind == "unique":
        broken = values.notna() & values.duplicated(keep=False)
    elif rule.kind == "true":
        broken = values.notna() & ~values.eq(True).fillna(False).astype("bool")
    else:
        low, high = rule.bounds(parameters)
        broken = pd.Series(False, index=table.index)
        if low is not None:
            broken |= values < low
        if high is not None:
            broken |= values > high
    shown = values[broken].round(4) if rule.kind == "between" else pd.Series("", index=values.index[broken])
    return pd.DataFrame(
        {
            "rule": rule.name,
            "severity": rule.severity,
            "utterance_id": table.loc[broken, "utterance_id"].astype("str"),
            "value": shown.astype("object"),
        }
    )
