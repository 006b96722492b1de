"""Anything in the place of a manifest is a corpus or one message; a right table comes back as it was written."""

import csv
import io
import json
import shutil
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaf.corpus.read import read_corpus
from hbaf.corpus.schema import Corpus, CorpusError
from hbaf.parameters import CorpusParameters
from tests.properties import TIMEOUT, contents, many, quick, separated

number = count()


def read(folder: Path, name: str, content: bytes) -> Corpus | str:
    """The corpus of a folder with this file alone, or the message."""
    root = folder / f"c{next(number)}"
    root.mkdir()
    (root / name).write_bytes(content)
    try:
        return read_corpus(CorpusParameters(reader="folder", root=root))
    except CorpusError as error:
        return str(error)
    finally:
        shutil.rmtree(root)


def check(folder: Path, suffix: str, content: bytes) -> None:
    found = read(folder, f"calls{suffix}", content)
    if isinstance(found, str):
        assert "calls" in found or "no manifest" in found
        assert found.rstrip().endswith((".", "`"))
        return
    rows = found.utterances
    assert len(rows) > 0
    assert rows["utterance_id"].is_unique
    assert (rows["dialogue_id"].str.len() > 0).all()
    for _, turns in rows.groupby("dialogue_id", sort=False)["turn"]:
        assert sorted(turns) == list(range(len(turns)))
    assert rows.loc[rows["text"].isna(), "text_problem"].notna().all()
    assert not (rows["start"] > rows["end"]).any()


TABLES = [".csv", ".tsv", ".jsonl", ".parquet", ".xlsx", ".ods"]
TRANSCRIPTS = [".json", ".vtt", ".srt", ".TextGrid", ".eaf"]
files = st.tuples(st.sampled_from(TABLES + TRANSCRIPTS), contents) | st.tuples(st.just(".csv"), separated)


@settings(quick, max_examples=40)
@given(found=files)
def test_anything_as_a_manifest(tmp_path: Path, found: tuple[str, bytes]) -> None:
    check(tmp_path, *found)


def test_a_clip_without_a_file_among_clips_without_dialogues(tmp_path: Path) -> None:
    """Found by the test below: a path without a name has no suffix."""
    rows = [{"audio": f"{number}.wav", "text": "hello"} for number in range(60)] + [{"audio": None, "text": "no file"}]
    found = read(tmp_path, "calls.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert isinstance(found, Corpus)
    assert len(found.utterances) == 60
    assert list(found.set_aside["rule"]) == ["no dialogue"]


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT)
@many
@given(found=files)
def test_much_of_anything_as_a_manifest(tmp_path: Path, found: tuple[str, bytes]) -> None:
    check(tmp_path, *found)


# Words and signs that somebody might say; what a table cannot hold, or what means "nothing", is not among them.
words = st.text(
    st.characters(categories=["L", "N", "P", "S", "Zs"], max_codepoint=0x2FFF), min_size=1, max_size=30
).map(lambda text: f"so {text.strip()} then")
turns = st.tuples(st.sampled_from(["Ann", "Bob"]), words)
tables = st.lists(st.lists(turns, min_size=1, max_size=4), min_size=1, max_size=4)


def written(form: str, rows: list[dict[str, str]]) -> bytes:
    if form == "jsonl":
        return "\n".join(json.dumps(row, ensure_ascii=len(rows) % 2 == 0) for row in rows).encode()
    if form == "parquet":
        buffer = io.BytesIO()
        pd.DataFrame(rows).to_parquet(buffer)
        return buffer.getvalue()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter={"csv": ",", "semicolons": ";", "tsv": "\t"}[form])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-16" if len(rows) % 3 == 0 else "utf-8")


def check_round_trip(folder: Path, form: str, dialogues: list[list[tuple[str, str]]]) -> None:
    rows = [
        {"dialogue": f"d{at}", "turn": str(turn), "speaker": speaker, "text": text}
        for at, turns in enumerate(dialogues)
        for turn, (speaker, text) in enumerate(turns)
    ]
    name = "calls.csv" if form == "semicolons" else f"calls.{form}"
    found = read(folder, name, written(form, rows))
    assert isinstance(found, Corpus), found
    table = found.utterances.sort_values(["dialogue_id", "turn"])
    assert list(table["speaker"]) == [row["speaker"] for row in rows]
    assert [text.split() for text in table["text"]] == [row["text"].split() for row in rows]


forms = st.sampled_from(["csv", "semicolons", "tsv", "jsonl", "parquet"])


@settings(quick, max_examples=25)
@given(form=forms, dialogues=tables)
def test_a_table_comes_back_as_it_was_written(
    tmp_path: Path, form: str, dialogues: list[list[tuple[str, str]]]
) -> None:
    check_round_trip(tmp_path, form, dialogues)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT)
@many
@given(form=forms, dialogues=tables)
def test_many_tables_of_anything_come_back(tmp_path: Path, form: str, dialogues: list[list[tuple[str, str]]]) -> None:
    check_round_trip(tmp_path, form, dialogues)
