"""Small tables that would cost much are refused before they do, and the message names the setting."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from hbaf.corpus.read import read_corpus
from hbaf.corpus.schema import CorpusError
from hbaf.parameters import CorpusParameters


def refusal(root: Path, **limits: Any) -> str:
    with pytest.raises(CorpusError) as caught:
        read_corpus(CorpusParameters(reader="folder", root=root, limits=limits))  # type: ignore[arg-type]
    return str(caught.value)


def bomb(path: Path, rows: int, length: int) -> Path:
    """One text, that every row refers to."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * length]))
    parquet.write_table(pa.table({"dialogue": pa.array(["d"] * rows), "text": text}), path, compression="zstd")
    return path


def test_a_parquet_that_repeats_one_text(tmp_path: Path) -> None:
    path = bomb(tmp_path / "calls.parquet", 2_000, 1 << 20)  # 2 GB
    assert path.stat().st_size < 10_000
    assert "--set corpus.limits.table_bytes=" in refusal(tmp_path)


@pytest.mark.slow
def test_it_is_refused_in_little_memory(tmp_path: Path) -> None:
    bomb(tmp_path / "calls.parquet", 20_000, 1 << 20)
    code = (
        "import sys; from pathlib import Path; from hbaf.corpus.read import read_corpus\n"
        "from tests.peak_memory import peak\n"
        "from hbaf.parameters import CorpusParameters\n"
        "try: read_corpus(CorpusParameters(reader='folder', root=Path(sys.argv[1])))\n"
        "except ValueError as error: print(peak(), error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "table_bytes" in done.stdout
    assert int(done.stdout.split()[0]) < 1_000_000  # kilobytes, the libraries included


@pytest.mark.parametrize(
    ("name", "limits", "expected"),
    [
        ("calls.csv", {"table_rows": 2}, "table_rows"),
        ("calls.csv", {"table_bytes": 20}, "table_bytes"),
        ("calls.jsonl", {"table_rows": 2}, "table_rows"),
        ("calls.parquet", {"table_rows": 2}, "table_rows"),
        ("calls.parquet", {"table_cells": 5}, "table_cells"),
    ],
)
def test_each_bound_is_a_setting(tmp_path: Path, name: str, limits: dict[str, int], expected: str) -> None:
    path = tmp_path / name
    if path.suffix == ".parquet":
        bomb(path, 3, 5)
    elif path.suffix == ".csv":
        path.write_text("dialogue,text\n" + "d,hello\n" * 3)
    else:
        path.write_text('{"dialogue": "d", "text": "hello"}\n' * 3)
    assert len(read_corpus(CorpusParameters(reader="folder", root=tmp_path)).utterances) == 3
    assert f"--set corpus.limits.{expected}=" in refusal(tmp_path, **limits)


def test_what_a_transcript_and_a_turn_may_hold(tmp_path: Path) -> None:
    (tmp_path / "call.vtt").write_text(f"WEBVTT\n\n00:00.000 --> 00:01.000\n{'very ' * 30}good\n")
    read = read_corpus(CorpusParameters(reader="folder", root=tmp_path, limits={"turn_characters": 20}))  # type: ignore[arg-type]
    assert list(read.utterances["text_problem"]) == ["154 characters, cut at 20: more than one turn"]
    assert "--set corpus.limits.transcript_bytes=" in refusal(tmp_path, transcript_bytes=50)


def test_lists_in_cells_count(tmp_path: Path) -> None:
    table = pa.table({"dialogue": ["d"], "text": ["x"], "marks": pa.array([[0] * 1_000_000], pa.list_(pa.int8()))})
    parquet.write_table(table, tmp_path / "calls.parquet")
    assert "table_cells" in refusal(tmp_path, table_cells=900_000)


def test_an_open_document_whose_cells_repeat(tmp_path: Path) -> None:
    names = "urn:oasis:names:tc:opendocument:xmlns:"
    cell = '<table:table-cell office:value-type="string" table:number-columns-repeated="16384"><text:p>x</text:p>'
    with zipfile.ZipFile(tmp_path / "calls.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{names}office:1.0" xmlns:table="{names}table:1.0" '
            f'xmlns:text="{names}text:1.0"><office:body><office:spreadsheet><table:table table:name="S">'
            f'<table:table-row table:number-rows-repeated="1000000">{cell}</table:table-cell></table:table-row>'
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    message = refusal(tmp_path, spreadsheet_memory=1 << 29, spreadsheet_seconds=20)
    assert "corpus.limits." in message or "no readable spreadsheet" in message
