"""One store of scored rows, whether `hbaf score` or a schedule made them; `why`, `forget` and the monitor ask it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hbaf.corpus.prepare import prepare_corpus
from hbaf.inbox.publish import published_scores
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.publish.published_scores import score_store
from hbaf.inbox.scheduled import score_source
from hbaf.inbox.source import SourceParameters
from hbaf.parameters import CorpusParameters
from hbaf.privacy.why import WhyError, why
from hbaf.scoring.schema import COLUMNS, as_scores
from hbaf.scoring.score import score_corpus
from hbaf.scoring.scores_folder import ScoresError, ScoresFolder
from hbaf.scoring.store import SELECTED_BY
from tests.inbox.conftest import call


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(2):
        call(tmp_path / "calls", f"c{number}", 200 + 10 * number)
    return tmp_path / "calls"


@pytest.fixture
def both(source: Path) -> tuple[Path, str]:
    """The same calls scored by hand and, later, by a schedule: (folder of scores, dataset)."""
    reference = prepare_corpus(CorpusParameters(reader="folder", root=source), split=False, workers=1)
    folder = score_corpus(reference, purpose="research", csv=True, workers=1).folder
    return folder, score_source(SourceParameters(url=str(source)), purpose="research", workers=1).published


def test_both_are_of_one_schema(both: tuple[Path, str]) -> None:
    folder, dataset = both
    by_hand = pq.read_table(folder / "scores.parquet")
    (by_schedule,) = ParquetDataset(dataset).tables()
    assert by_schedule.column_names == list(COLUMNS)
    assert set(COLUMNS) < set(by_hand.column_names)
    for name, kind in COLUMNS.items():
        assert by_hand.schema.field(name).type == getattr(kind, "value_type", kind) or name == "probabilities"
    same = by_hand.to_pandas().set_index("utterance_id")
    for row in by_schedule.to_pylist():
        mine = same.loc[row["utterance_id"]]
        assert dict(mine["probabilities"]) == pytest.approx(dict(row["probabilities"]), abs=1e-3)
        assert (mine["run_id"], mine["conversation"]) == (row["run_id"], row["conversation"])


def test_the_latest_score_is_found_in_either(both: tuple[Path, str]) -> None:
    folder, dataset = both
    found = score_store().find("calls/c1/2")
    assert found is not None
    assert found.table.place == dataset
    assert list(found.conversation["turn"]) == [0, 1, 2]
    by_hand = score_store([folder]).find("calls/c1/2")
    assert by_hand is not None
    assert by_hand.row["label"] == found.row["label"]
    rows = score_store().rows("0" * 32, 0, 4e9)
    assert len(rows) == 6
    assert set(rows["scored_at"]) == {found.row["scored_at"]}
    assert score_store().rows("2" * 32, 0, 4e9).empty
    assert score_store().find("calls/c7/0") is None
    assert score_store().example() == "calls/c0/0"
    with pytest.raises(ScoresError, match=r"neither scores\.parquet nor _schema\.json"):
        score_store([folder.parent])


def test_why_explains_what_a_schedule_published(
    both: tuple[Path, str], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    _, dataset = both
    steps = {step.name: step for step in why("calls/c0/1")}
    assert steps["prediction"].facts["scores"] == dataset
    assert steps["conversation"].facts["arrival"] == "c0"
    assert steps["recording"].whole
    assert steps["recording"].facts["file"] == f"{source / 'c0.wav'}, unchanged"
    assert {step.name: step for step in why("calls/c0/1", dataset)} == steps
    (source / "c0.wav").write_bytes(b"other")
    assert "CHANGED" in why("calls/c0/1")[-1].facts["file"]
    with pytest.raises(WhyError, match="An id looks like calls/c0/0"):
        why("calls/c9/0")


def test_a_table_of_an_earlier_version_is_read_and_forgets(both: tuple[Path, str]) -> None:
    """Without what all rows share, and with the run in scores.json alone."""
    folder, _ = both
    new = pd.read_parquet(folder / "scores.parquet")
    shared = ["conversation", "source", "run_id", "scored_at", "schema_version", "hbaf_version", "probabilities"]
    new.drop(columns=shared).to_parquet(folder / "scores.parquet", index=False)
    os.utime(folder / "scores.parquet", (10**9, 10**9))
    table = ScoresFolder(folder)
    (part,) = table.frames()
    assert set(part["run_id"]) == {json.loads((folder / "scores.json").read_text())["run"]}
    assert set(part["conversation"]) == {"calls/c0", "calls/c1"}
    assert part["scored_at"].iloc[0].timestamp() == 10**9
    (small,) = table.frames(SELECTED_BY)
    assert set(SELECTED_BY) <= set(small)
    assert table.remove(lambda rows: (rows["dialogue_id"] == "c0").to_numpy(bool)) == 3
    assert set(pd.read_csv(folder / "scores.csv")["dialogue_id"]) == {"c1"}
    assert table.conversation("calls/c0").empty
    assert len(table.conversation("calls/c1")) == 3


@pytest.mark.parametrize("gone", [["c0"], ["c0", "c1"]], ids=["some rows", "all rows"])
def test_a_removal_that_was_killed_after_any_change_is_done_again(
    both: tuple[Path, str], gone: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forget that was killed between table and CSV left the words in the CSV, and none came back for them."""
    folder, _ = both
    words = [pd.read_csv(folder / "scores.csv").set_index("dialogue_id").loc[name, "text"].iloc[0] for name in gone]

    def select(rows: pd.DataFrame) -> np.ndarray:
        return rows["dialogue_id"].isin(gone).to_numpy(bool)

    for changes in range(20):
        copy = shutil.copytree(folder, tmp_path / str(changes))
        left = [changes]

        def counted(change: Callable[..., Any], left: list[int] = left) -> Callable[..., Any]:
            def then_stop(*arguments: Any, **named: Any) -> Any:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return change(*arguments, **named)

            return then_stop

        with monkeypatch.context() as patch:
            for place, name in ((Path, "replace"), (Path, "unlink"), (shutil, "rmtree")):
                patch.setattr(place, name, counted(getattr(place, name)))
            try:
                ScoresFolder(copy).remove(select)
                stopped = False
            except KeyboardInterrupt:
                stopped = True
        if (copy / "scores.parquet").exists():  # else no store knows it any more
            ScoresFolder(copy).remove(select)
        kept = [file.read_bytes().decode("latin1") for file in copy.rglob("*") if file.suffix in (".csv", ".html")]
        assert not any(word in text for word in words for text in kept), changes
        if not stopped:
            return
    raise AssertionError("it never ended")


def test_a_look_reads_the_parts_of_its_time_alone(both: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the others the footer, whatever was published in all the years before."""
    _, dataset = both
    file = Path(dataset, "part-00001.parquet")
    now = pq.read_table(file)
    years = now.set_column(
        now.schema.get_field_index("scored_at"), now.schema.field("scored_at"),
        pa.repeat(pa.scalar(0, now.schema.field("scored_at").type), len(now)),
    )  # fmt: skip
    for part in (2, 3):
        pq.write_table(years, file.with_name(f"part-0000{part}.parquet"))
    decoded: list[int] = []
    monkeypatch.setattr(published_scores, "as_scores", lambda table: decoded.append(len(table)) or as_scores(table))
    run_id, at = now["run_id"][0].as_py(), now["scored_at"][0].as_py().timestamp()
    scheduled = score_store([dataset])
    assert len(scheduled.rows(run_id, at - 1, at + 1)) == len(now)
    assert decoded == [len(now)]
    read = sum(len(part) for table in scheduled.tables for part in table.frames())
    assert read == 3 * len(now)


def test_probabilities_are_columns_whatever_rows_have() -> None:
    """A map without an emotion, an empty one and none at all leave NaN."""
    maps = pa.array([[("joy", 0.25), ("anger", 0.75)], None, [], [("anger", 0.5)]], COLUMNS["probabilities"])
    for table in (pa.table({"probabilities": maps}), pa.concat_tables([pa.table({"probabilities": maps})] * 2)[3:]):
        found = as_scores(table)
        expected = [dict(row or ()) for row in table["probabilities"].to_pylist()]
        for emotion in ("joy", "anger"):
            assert found[f"p_{emotion}"].to_list() == pytest.approx(
                [row.get(emotion, float("nan")) for row in expected], nan_ok=True
            )
