"""Labels held against the last version that passed, and every broken row in a table."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.schema import LABEL_SETS, Corpus, as_utterances
from hbaf.parameters import ValidationParameters
from hbaf.validation import RuleResult, accept, validate
from hbaf.validation.broken_rows import as_csv, broken_rows
from hbaf.validation.table1 import paper_counts
from hbaf.validation.tables import split_counts, tables_of

PARAMETERS = ValidationParameters()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))


def corpus(joys: int, *, name: str = "calls", rows: int = 20) -> Corpus:
    """Texts alone; the first `joys` of the rows are joy, the others anger."""
    table = pd.DataFrame(
        {
            "corpus": name,
            "dialogue_id": [f"d{row // 2}" for row in range(rows)],
            "turn": [row % 2 for row in range(rows)],
            "text": [f"these words have number {row}" for row in range(rows)],
            "audio_problem": "none named",
            "emotion": ["joy" if row < joys else "anger" for row in range(rows)],
        }
    )
    names = ["dev", "test", *["train"] * (rows // 2 - 2)]
    splits = pd.DataFrame({"dialogue_id": [f"d{n}" for n in range(rows // 2)], "split": names}, dtype="str")
    return Corpus(name, Path("/nowhere"), as_utterances(table), splits, ("joy", "anger"))


def label_shares(found: Corpus) -> RuleResult:
    result = validate(found, PARAMETERS, docs=False)
    accept(found, result)
    return next(rule for rule in result.rules if rule.name == "label_shares")


def test_a_shift_of_labels_since_the_last_accepted_version_is_told_and_stays_told() -> None:
    assert not label_shares(corpus(10)).evaluated, "there is nothing to compare the first version with"
    assert label_shares(corpus(11, rows=24)).passed  # joy 50 % -> 46 %
    shifted = label_shares(corpus(14))
    assert shifted.failed
    assert shifted.found.startswith("anger 54.2% -> 30.0%")
    assert label_shares(corpus(14)).found == shifted.found, "the same version validated again says the same"
    assert label_shares(corpus(14, name="others")).evaluated is False, "another corpus has a history of its own"


def test_what_failed_is_no_yardstick() -> None:
    failed = replace(corpus(20), emotions=("anger",))
    assert not validate(failed, PARAMETERS, docs=False).ok
    assert not accept(failed, validate(failed, PARAMETERS, docs=False))
    assert not label_shares(corpus(10)).evaluated


def test_every_broken_row_is_in_the_table_and_no_word_is() -> None:
    found = corpus(10)
    texts = found.utterances["text"].copy()
    texts[[1, 3, 4, 5, 6, 7, 8]] = "you donâ€™t say"
    table = broken_rows(tables_of(found.with_utterances(found.utterances.assign(text=texts))), PARAMETERS)
    garbled = table[table["rule"] == "text_encoding"]
    assert garbled["utterance_id"].tolist() == [found.utterances["utterance_id"][row] for row in (1, 3, 4, 5, 6, 7, 8)]
    rows = list(csv.reader(io.StringIO(as_csv(table).decode())))
    assert rows[0] == ["rule", "severity", "utterance_id", "value"]
    assert len(rows) == len(table) + 1
    assert "donâ" not in as_csv(table).decode()


def test_values_out_of_bounds_come_with_their_number() -> None:
    found = corpus(10)
    table = found.utterances.assign(subtitle_seconds=[0.0] + [2.0] * 19)
    broken = broken_rows(tables_of(found.with_utterances(table)), PARAMETERS)
    assert broken[broken["rule"] == "announced_length"][["utterance_id", "value"]].values.tolist() == [
        ["calls/d0/0", 0]
    ]


def test_an_id_cannot_become_a_formula() -> None:
    table = pd.DataFrame({"rule": ["r"], "severity": ["warning"], "utterance_id": ["=cmd/d/0"], "value": [1.5]})
    assert "'=cmd/d/0" in as_csv(table).decode()


def test_counts_by_split() -> None:
    found = corpus(3)
    outside = replace(found, splits=found.splits.iloc[:-1])
    assert split_counts(outside)["none"]["utterances"] == 2
    assert split_counts(found)["dev"] == {"dialogues": 1, "utterances": 2, "joy": 2, "anger": 0, "unlabelled": 0}
    assert list(split_counts(found)) == ["train", "dev", "test"]


def test_iemocap_says_which_count_it_is_and_never_fails() -> None:
    rows = corpus(10, name="iemocap").utterances.assign(majority="hap", dialogue_start=0.0, emotion="happy")
    found = replace(corpus(10), name="iemocap", utterances=rows, emotions=LABEL_SETS["iemocap6"])
    differ, said = paper_counts(found)
    assert differ == 4
    assert "paper 120 / 31" in said
    assert "neither 7380" in said
    result = validate(found, PARAMETERS, docs=False)
    assert "paper_counts" in {rule.name for rule in result.failures("warning")}
    assert result.ok


def test_the_untouched_release_of_meld_has_the_counts_of_the_paper(real_data: Path) -> None:
    from hbaf.corpus.readers.meld import read_meld
    from hbaf.parameters import CorpusParameters

    found = read_meld(CorpusParameters(reader="meld", root=real_data / "meld"))
    assert len(found.utterances) + len(found.set_aside) == 13_708
    assert paper_counts(found)[0] == 0
    result = validate(found, PARAMETERS, docs=False)
    assert result.ok
    announced = next(rule for rule in result.rules if rule.name == "announced_length")
    assert "meld/test-155/3" in announced.examples
