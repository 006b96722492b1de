"""Runs the rules over a corpus with great_expectations: an ephemeral context and suites written in code."""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from hbaf.corpus.schema import UTTERANCE_COLUMNS, Corpus, CorpusError
from hbaf.home import directory, prepare_environment, write_atomically
from hbaf.parameters import ValidationParameters
from hbaf.pseudonyms import shown_id
from hbaf.validation.accepted import accepted_before
from hbaf.validation.broken_rows import as_csv, broken_rows
from hbaf.validation.pages import data_docs_pages
from hbaf.validation.report import RuleResult, ValidationResult
from hbaf.validation.rules import RULES, Rule, TableName
from hbaf.validation.tables import split_counts, tables_of

EXAMPLES = 5  # utterance ids named per broken rule

# great_expectations keeps the current context in a global, so that two validations in threads would mix.
_ONE_AT_A_TIME = threading.Lock()


def validate(
    corpus: Corpus, parameters: ValidationParameters, *, docs_folder: Path | None = None, docs: bool = True
) -> ValidationResult:
    """Judges a corpus whose audio facts are measured already, and writes the Data Docs.

    Args:
        corpus: read, never changed. Fact columns may be absent where the corpus has no audio.
        parameters: what is plausible.
        docs_folder: for the HTML pages; default: `docs/<corpus name>` in the home folder. Pages of the same name are
            replaced, other files are left alone, and nothing is written elsewhere.
        docs: False: no pages at all.

    Returns:
        One result per rule. A broken rule is a result, not an error: see `ValidationResult.raise_if_failed`.

    Raises:
        CorpusError: the utterance table lacks a column of the schema.
        RuntimeError: a rule itself could not be run.
    """
    absent = [name for name in UTTERANCE_COLUMNS if name not in corpus.utterances]
    if absent:
        raise CorpusError(
            f"{corpus.name}: the utterance table lacks {', '.join(absent)}. "
            "Complete it with hbaf.corpus.schema.as_utterances."
        )
    prepare_environment()
    tables, ids = _shown(tables_of(corpus, accepted_before(corpus)))
    with _ONE_AT_A_TIME:
        outcomes = _run_suites(tables, parameters)
        pages = data_docs_pages(outcomes) if docs else {}
    results = tuple(
        _rule_result(rule, outcomes[rule.table].results, tables[rule.table], parameters, ids) for rule in RULES
    )
    counts = split_counts(corpus)
    result = ValidationResult(corpus.name, corpus.digest(), results, counts=counts, notes=corpus.notes)
    if not docs:
        return result
    folder = docs_folder or directory("docs", docs_name(corpus.name))
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages.items():
        write_atomically(folder / f"{name}.html", page.encode())
    write_atomically(folder / "broken_rows.csv", as_csv(broken_rows(tables, parameters)))
    write_atomically(folder / "index.html", result.html().encode())
    return replace(result, docs=folder)


def docs_name(corpus: str) -> str:
    """What the folder of a corpus' pages is called."""
    return re.sub(r"[^\w-]+", "_", corpus) or "corpus"


def _run_suites(tables: Mapping[TableName, pd.DataFrame], parameters: ValidationParameters) -> dict[TableName, Any]:
    """One suite per table. Imports great_expectations, which takes seconds the first time."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    # The default configuration of an ephemeral context makes a docs site in the temporary folder.
    defaults = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = gx.get_context(mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=defaults))
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("corpus")
    shown = {"result_format": "SUMMARY", "unexpected_index_column_names": ["utterance_id"]}
    outcomes: dict[TableName, Any] = {}
    for name, table in tables.items():
        judged = [rule for rule in RULES if rule.table == name and _has_something_to_judge(rule, table)]
        expectations = [_expectation(rule, parameters) for rule in judged]
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        asset = source.add_dataframe_asset(name)
        definition = gx.ValidationDefinition(
            name=name, data=asset.add_batch_definition_whole_dataframe("whole"), suite=suite
        )
        context.validation_definitions.add(definition)
        outcomes[name] = definition.run(
            batch_parameters={"dataframe": table},
            result_format={**shown, "partial_unexpected_count": EXAMPLES},
        )
    return outcomes


def _expectation(rule: Rule, parameters: ValidationParameters) -> Any:
    """The expectation that says what the rule says."""
    import great_expectations.expectations as gxe

    facts: dict[str, Any] = {
        "severity": rule.severity,
        "meta": {"rule": rule.name},
        "description": f"{rule.name} ({rule.severity}): {rule.meaning_under(parameters)}",
    }
    if rule.kind == "rows":
        return gxe.ExpectTableRowCountToBeBetween(min_value=1, **facts)
    # Rounded, or 1 - 0.1 - ... could ask for a hair more than the share that is allowed.
    facts["mostly"] = round(1 - parameters.bad_share, 9) if rule.tolerant else 1.0
    if rule.kind == "unique":
        return gxe.ExpectColumnValuesToBeUnique(column=rule.column, **facts)
    if rule.kind == "true":
        return gxe.ExpectColumnValuesToBeInSet(column=rule.column, value_set=[True], **facts)
    low, high = rule.bounds(parameters)
    return gxe.ExpectColumnValuesToBeBetween(column=rule.column, min_value=low, max_value=high, **facts)


def _has_something_to_judge(rule: Rule, table: pd.DataFrame) -> bool:
    """False where great_expectations would find nothing and call that a success."""
    return rule.kind == "rows" or bool(table[rule.column].notna().any())


def _shown(tables: dict[TableName, pd.DataFrame]) -> tuple[dict[TableName, pd.DataFrame], dict[str, str]]:
    """The tables with ids as they may stand on pages, and the way back from there to the ids themselves."""
    ids: dict[str, str] = {}
    shown = dict(tables)
    for name in ("utterances", "dialogues"):
        table = tables[name]
        own = table["utterance_id"]
        # Without any id there is no name to hide, and missing ids stay missing for the rules to find.
        shown[name] = table.assign(utterance_id=own.map(shown_id)) if own.notna().all() else table
        ids |= dict(zip(shown[name]["utterance_id"], table["utterance_id"], strict=True))
    return shown, ids


def _rule_result(
    rule: Rule,
    outcomes: Sequence[Any],
    table: pd.DataFrame,
    parameters: ValidationParameters,
    ids: Mapping[str, str],
) -> RuleResult:
    """What great_expectations found, in our words.

    Raises:
        RuntimeError: the expectation could not be evaluated: that must never look like a rule that was kept.
    """
    unjudged = RuleResult(
        rule.name,
        rule.severity,
        passed=False,
        evaluated=False,
        meaning=rule.meaning_under(parameters),
        advice=rule.advice,
    )
    outcome = next((item for item in outcomes if item.expectation_config.meta["rule"] == rule.name), None)
    if outcome is None:
        return unjudged
    found = outcome.result
    if outcome.exception_info.get("raised_exception") or not found:
        raise RuntimeError(
            f"validation rule {rule.name}: great_expectations could not evaluate it on column {rule.column} "
            f"({table[rule.column].dtype}). This is a fault of the rule or of the installed version, not of the corpus."
        )
    if rule.kind == "rows":
        checked, broken, counted = 1, int(not outcome.success), f"{len(table)} utterances"
    else:
        checked, broken = found["element_count"] - found["missing_count"], found["unexpected_count"]
        counted = str(table[f"{rule.column}_found"].iloc[0]) if f"{rule.column}_found" in table else ""
    entries = found.get("partial_unexpected_index_list") or () if rule.table != "corpus" else ()
    names = (str(entry["utterance_id"]) for entry in entries)  # a missing id comes as "nan" and stands for itself
    return replace(
        unjudged,
        passed=bool(outcome.success),
        evaluated=True,
        checked_rows=checked,
        broken_rows=broken,
        share=broken / checked,
        examples=tuple(dict.fromkeys(ids.get(name, name) for name in names))[:EXAMPLES],
        found=counted,
    )
