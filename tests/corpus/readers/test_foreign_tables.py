"""Tables as spreadsheets, tools and people leave them, and files named as other systems name them."""

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hbaf.corpus.read import read_corpus
from hbaf.corpus.schema import Corpus, CorpusError
from hbaf.corpus.text.manifest_values import BadRow, seconds
from hbaf.corpus.text.table_header import csv_records
from hbaf.parameters import CorpusParameters

HEADER = "dialogue,turn,speaker,text,audio,emotion"
ROWS = ['a,0,Ann,"Well, hello",c_0.wav,joy', "a,1,Bob,Hm,c_1.wav,anger", "b,0,Ann,Bye,c_2.wav,joy"]
PLAIN = "\n".join([HEADER, *ROWS]) + "\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    for number in range(3):
        sound(folder / f"c_{number}.wav")
    return folder


def sound(path: Path, seconds: float = 2.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).standard_normal(round(8_000 * seconds))
    soundfile.write(path, 0.1 * noise, 8_000, format="WAV")
    return path


def read(root: Path, content: str | bytes | None = None, name: str = "calls.csv", **settings: object) -> Corpus:
    if content is not None:
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_corpus(CorpusParameters(reader="auto", root=root, **settings))  # type: ignore[arg-type]


def refusal(root: Path, content: str | None = None, **settings: object) -> str:
    with pytest.raises(CorpusError) as caught:
        read(root, content, **settings)
    return str(caught.value)


def found(corpus: Corpus) -> list[str | None]:
    return [None if pd.isna(audio) else audio for audio in corpus.utterances["audio"]]


def check_plain(corpus: Corpus) -> None:
    table = corpus.utterances
    assert list(table["utterance_id"]) == ["calls/a/0", "calls/a/1", "calls/b/0"]
    assert list(table["text"]) == ["Well, hello", "Hm", "Bye"]
    assert found(corpus) == ["c_0.wav", "c_1.wav", "c_2.wav"]
    assert table["audio_problem"].isna().all()
    assert list(table["emotion"]) == ["joy", "anger", "joy"]
    assert len(corpus.set_aside) == 0


SEMICOLONS = PLAIN.replace('"Well, hello"', "Well| hello").replace(",", ";").replace("|", ",")


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\n" + SEMICOLONS,
        '"sep=;"\r\n' + SEMICOLONS.replace("\n", "\r\n"),
        "SEP=,\n" + PLAIN,
        "sep=\\t\n" + PLAIN.replace('"Well, hello"', "Well| hello").replace(",", "\t").replace("|", ","),
        "\ufeffsep=;\n" + SEMICOLONS,
        SEMICOLONS,
        "Export of 2026-11-20,,,,,\n,,,,,\n" + PLAIN,
        "Calls of Ann, Bob; all of them\n\n" + SEMICOLONS,
        "# made by tool 1.2\n# a, b, c\n" + PLAIN,
        "# " + PLAIN,
        "\n\n\n" + PLAIN,
        PLAIN.replace("\n", "\n# a remark\n", 1),
        PLAIN + HEADER + "\n",
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "\n".join(f"{number},{line},,".replace("0,dialogue", ",dialogue", 1)
                  for number, line in enumerate(PLAIN.splitlines())) + "\n,,,,,,,,\n",
    ],
)  # fmt: skip
def test_what_stands_above_and_between_the_rows_is_no_row(root: Path, content: str) -> None:
    check_plain(read(root, content))


def test_lines_are_counted_from_the_top_of_the_file(root: Path) -> None:
    corpus = read(root, "A title\n\n" + PLAIN + "b,x,Ann,Hm,c_1.wav,joy\n", bad_share=0.5)
    assert corpus.set_aside["row"].tolist() == ["calls.csv:7"]


def test_a_table_without_a_known_header_says_which_line_was_taken(root: Path) -> None:
    message = refusal(root, "Some title\nc_0.wav|hello there\nc_1.wav|good bye\n")
    assert "Line 1 was taken for the header" in message
    assert "Found: Some title" in message


@pytest.mark.parametrize("name", ["calls.xlsx", "calls.ods"])
@pytest.mark.parametrize("above", [0, 3])
def test_spreadsheets(root: Path, name: str, above: int) -> None:
    write_sheet(root / name, [["Export of today"] if row == 0 else [] for row in range(above)] + cells())
    check_plain(read(root))


def cells() -> list[list[object]]:
    rows = [row.replace('"Well, hello"', "Well| hello").split(",") for row in ROWS]
    return [HEADER.split(","), *([row[0], float(row[1]), row[2], row[3].replace("|", ","), *row[4:]] for row in rows)]


def write_sheet(path: Path, rows: list[list[object]], other: list[list[object]] | None = None) -> None:
    """The smallest workbook: shared by both kinds are a ZIP and one XML for each sheet."""
    import zipfile
    from xml.sax.saxutils import escape

    def xlsx(row: list[object]) -> str:
        words = '<c t="inlineStr"><is><t>{}</t></is></c>'
        kinds = (
            f"<c><v>{cell}</v></c>" if isinstance(cell, float) else words.format(escape(str(cell))) for cell in row
        )
        return f"<row>{''.join(kinds)}</row>"

    def ods(row: list[object]) -> str:
        kinds = (
            f'<table:table-cell office:value-type="float" office:value="{cell}"/>' if isinstance(cell, float)
            else f'<table:table-cell office:value-type="string"><text:p>{escape(str(cell))}</text:p></table:table-cell>'
            for cell in row
        )  # fmt: skip
        return f"<table:table-row>{''.join(kinds) or '<table:table-cell/>'}</table:table-row>"

    sheets = [rows] + ([other] if other else [])
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    with zipfile.ZipFile(path, "w") as archive:
        if path.suffix == ".ods":
            names = "urn:oasis:names:tc:opendocument:xmlns:"
            tables = "".join(
                f'<table:table table:name="S{number}">{"".join(map(ods, sheet))}</table:table>'
                for number, sheet in enumerate(sheets)
            )
            archive.writestr("META-INF/manifest.xml", "<manifest/>")
            archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
            archive.writestr(
                "content.xml",
                f'<office:document-content xmlns:office="{names}office:1.0" xmlns:table="{names}table:1.0" '
                f'xmlns:text="{names}text:1.0"><office:body><office:spreadsheet>{tables}'
                "</office:spreadsheet></office:body></office:document-content>",
            )
            return
        listed = "".join(f'<sheet name="S{n}" sheetId="{n + 1}" r:id="r{n}"/>' for n in range(len(sheets)))
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>{listed}</sheets></workbook>'
        )
        listed = "".join(
            f'<Relationship Id="r{n}" Type="{relations}/worksheet" Target="worksheets/s{n}.xml"/>'
            for n in range(len(sheets))
        )
        package = "http://schemas.openxmlformats.org/package/2006/relationships"
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="r" Type="{relations}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}">{listed}</Relationships>')
        for number, sheet in enumerate(sheets):
            data = "".join(map(xlsx, sheet))
            archive.writestr(
                f"xl/worksheets/s{number}.xml", f'<worksheet xmlns="{main}"><sheetData>{data}</sheetData></worksheet>'
            )


def test_the_sheet_with_the_table_is_read_and_the_others_are_named(root: Path) -> None:
    write_sheet(root / "calls.xlsx", [["Notes"], ["by Ann"]], cells())
    corpus = read(root)
    check_plain(corpus)
    assert any("sheet 'S1' was read, not 'S0'" in note for note in corpus.notes)


def test_what_is_no_spreadsheet_is_said(root: Path) -> None:
    (root / "calls.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    assert "no readable spreadsheet" in refusal(root)


def test_a_spreadsheet_that_unpacks_to_too_much_is_refused(root: Path) -> None:
    write_sheet(root / "calls.xlsx", cells())
    assert "500 are allowed" in refusal(root, limits={"table_bytes": 500})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 days", 0.0), ("0 days 00:00:01", 1.0), ("0 days 00:00:00.900000", 0.9), ("1 day, 0:00:01", 86_401.0),
        ("PT0.9S", 0.9), ("PT1M2,5S", 62.5), ("PT0S", 0.0), ("P1DT1H", 90_000.0), ("900ms", 0.9), ("900 ms", 0.9),
        ("1.5 sec", 1.5), ("2 seconds", 2.0), ("NaT", None), ("-", None), ("n/a", None), ("<NA>", None),
    ],
)  # fmt: skip
def test_times(text: str, expected: float | None) -> None:
    assert seconds(text) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("text", ["P", "PT", "days", "-1 days +23:59:59", "1 parsec"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadRow):
        seconds(text)


@pytest.mark.parametrize(
    "written",
    [
        "C_{}.WAV", "c_{}", "C_{}", "c_{}.mp3", "wavs/c_{}.wav", r"D:\calls\c_{}.wav", "/home/nobody/calls/c_{}.wav",
        r".\c_{}.wav", "./c_{}.wav",
    ],
)  # fmt: skip
def test_files_are_found_under_another_spelling_where_one_fits(root: Path, written: str) -> None:
    content = PLAIN
    for number in range(3):
        content = content.replace(f"c_{number}.wav", written.format(number))
    check_plain(read(root, content))


@pytest.mark.parametrize(("table", "disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_composed_and_decomposed_names(root: Path, table: str, disk: str) -> None:
    name = "Grüße_é.wav"
    sound(root / "x" / unicodedata.normalize(disk, name))  # type: ignore[arg-type]
    written = unicodedata.normalize(table, f"x/{name}")  # type: ignore[arg-type]
    corpus = read(root, PLAIN.replace("c_0.wav", written))
    assert corpus.utterances["audio_problem"].isna().all()
    assert any("differ in case or letters" in note for note in corpus.notes)


def test_two_spellings_of_one_name_are_one_dialogue(root: Path) -> None:
    rows = [unicodedata.normalize(form, f"é,{form},x,c_0.wav") for form in ("NFC", "NFD")]  # type: ignore[arg-type]
    corpus = read(root, "dialogue,speaker,text,audio\n" + "\n".join(rows) + "\n")
    assert corpus.utterances["dialogue_id"].nunique() == 1


def test_where_several_files_fit_none_is_taken(root: Path) -> None:
    sound(root / "C_0.wav")
    sound(root / "more" / "c_1.wav")
    sound(root / "more" / "d.wav")
    sound(root / "other" / "d.wav")
    content = PLAIN.replace("c_0.wav", "c_0.WAV").replace("c_2.wav", "x/d.wav")
    table = read(root, content).utterances
    assert "2 files are called like it (C_0.wav and c_0.wav)" in table["audio_problem"].iloc[0]
    assert table["audio"].iloc[1] == "c_1.wav"  # written as it is
    assert "2 files are called like it (more/d.wav and other/d.wav)" in table["audio_problem"].iloc[2]
    nearer = read(root, content.replace("x/d.wav", "/mnt/other/d.wav")).utterances
    assert nearer["audio"].iloc[2] == "other/d.wav"


def test_a_path_out_of_the_folder_is_never_answered_by_another_file(root: Path) -> None:
    sound(root.parent / "c_0.wav")
    table = read(root, PLAIN.replace("c_0.wav", "../c_0.wav")).utterances
    assert table["audio_problem"].iloc[0] == "path leaves the corpus folder"


@pytest.mark.parametrize("transcript", ["call.srt", "CALL.SRT", "call.en.srt", "Call.wav.srt"])
def test_a_transcript_in_another_case(tmp_path: Path, transcript: str) -> None:
    sound(tmp_path / "Call.WAV")
    (tmp_path / transcript).write_text("1\n00:00:00,100 --> 00:00:00,900\nhello\n")
    corpus = read(tmp_path)
    assert found(corpus) == ["Call.WAV"]
    assert len(corpus.set_aside) == 0


CLIPS = "file_name,transcription,label\nc_0.wav,Well,joy\nc_1.wav,Hm,anger\nc_2.wav,Bye,joy\n"


def test_clips_without_a_dialogue_are_each_one_of_their_own(root: Path) -> None:
    corpus = read(root, CLIPS, "metadata.csv")
    assert list(corpus.utterances["utterance_id"]) == ["calls/c_0/0", "calls/c_1/0", "calls/c_2/0"]
    assert corpus.notes == ("no column says which dialogue a row belongs to: each audio file is one of its own",)
    segments = read(root, "file,start,end,text\nc_0.wav,0,1,x\nc_0.wav,1,2,y\nc_1.wav,0,1,z\n", "metadata.csv")
    assert list(segments.utterances["utterance_id"]) == ["calls/c_0/0", "calls/c_0/1", "calls/c_1/0"]
    assert "no column says which dialogue" in refusal(root, "turn,audio,text\n0,c_0.wav,x\n", manifest="calls.csv")


def test_the_manifest_of_a_recogniser(root: Path) -> None:
    lines = '{"audio_filepath": "c_0.wav", "offset": 0.5, "duration": 0.25, "text": "x"}\n'
    table = read(root, lines + lines.replace("0.5", "1.0"), "calls.jsonl").utterances
    assert list(zip(table["start"], table["end"], strict=True)) == [(0.5, 0.75), (1.0, 1.25)]
    array = "[" + ",\n".join(lines.splitlines() * 2) + "]"
    assert len(read(root, array, "calls.jsonl").utterances) == 2


def test_a_start_alone_ends_where_the_next_turn_begins(root: Path) -> None:
    corpus = read(root, "dialogue,text,audio,start\nd,x,c_0.wav,0.1\nd,y,c_0.wav,0.5\nd,z,c_0.wav,1.2\n")
    table = corpus.utterances
    assert table["end"].tolist()[:2] == [0.5, 1.2]
    assert pd.isna(table["end"].iloc[2])
    assert any("2 turns without an end last until the next turn" in note for note in corpus.notes)


def test_a_turn_without_times_among_others_is_not_the_whole_recording(root: Path) -> None:
    rows = "d,x,c_0.wav,0.1,0.4\nd,y,c_0.wav,,\nd,z,c_0.wav,,1.5\nd,u,c_0.wav,1.0,1.2\nwhole,v,c_0.wav,,\n"
    table = read(root, "dialogue,text,audio,start,end\n" + rows).utterances.set_index("text")
    assert table.loc["y", "audio_problem"].startswith("no start and end, which other turns")
    assert table.loc["z", "audio_problem"] == "no start, and other turns begin before its end"
    assert table.loc[["x", "u", "v"], "audio_problem"].isna().all()


@pytest.mark.parametrize("word", ["nan", "NaN", "-", "n/a", "N/A", "none", "?", "null", "<NA>"])
def test_words_for_no_label_are_no_label_and_are_named(root: Path, word: str) -> None:
    content = PLAIN.replace(",anger", f",{word}")
    corpus = read(root, content)
    assert corpus.emotions == ("joy",)
    assert corpus.utterances["emotion"].isna().tolist() == [False, True, False]
    assert any(f"labels {word!r} were read as no label" in note for note in corpus.notes)
    kept = read(root, content, emotions=("joy", word.lower()))
    assert kept.utterances["emotion"].tolist() == ["joy", word.lower(), "joy"]
    assert not kept.notes


@pytest.mark.parametrize(
    "names",
    [
        ("train.csv", "dev.csv", "test.csv"), ("calls_train.csv", "calls_val.csv", "calls_test.csv"),
        ("Train.tsv", "Validation.tsv", "Test.tsv"), ("train/metadata.csv", "valid/metadata.csv", "test/metadata.csv"),
    ],
)  # fmt: skip
def test_one_table_a_split(tmp_path: Path, names: tuple[str, str, str]) -> None:
    root = tmp_path / "calls"
    for split, name in enumerate(names):
        sound((root / name).parent / f"s{split}.wav")
        (root / name).write_text(f"dialogue,turn,text,audio,emotion\n1,0,hello {split},s{split}.wav,joy\n")
    corpus = read(root)
    assert dict(corpus.splits.itertuples(index=False)) == {"train-1": "train", "dev-1": "dev", "test-1": "test"}
    assert corpus.utterances["audio_problem"].isna().all()
    assert any("called after its split" in note for note in corpus.notes)


def test_tables_of_splits_keep_names_that_tell_dialogues_apart(root: Path) -> None:
    for split, name in enumerate(("train", "test")):
        (root / f"{name}.csv").write_text(f"dialogue,text,audio\nd{split},hello,c_{split}.wav\n")
    assert dict(read(root).splits.itertuples(index=False)) == {"d0": "train", "d1": "test"}
    (root / "test.csv").write_text("dialogue,text,audio\nd0,hello,c_0.wav\n")
    assert "dialogue 'd0' is in test (test.csv:2) and in train (train.csv:2)" in refusal(root)
    (root / "test.csv").write_text("dialogue,words\nd1,hello\n")
    assert "the same columns" in refusal(root)
    (root / "all.csv").write_text("dialogue,text\nd0,hello\n")
    assert "Name one" in refusal(root)


MELD = "Sr No.;Utterance;Speaker;Emotion;Sentiment;Dialogue_ID;Utterance_ID;Season;Episode;StartTime;EndTime\n"
MELD += '1;"Hello; you";Ann;joy;positive;0;0;8;21;"00:16:16,059";"00:16:21,731"\n'


@pytest.mark.parametrize("above", ["", "sep=;\n"])
def test_meld_as_a_spreadsheet_saved_it(tmp_path: Path, above: str) -> None:
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}_sent_emo.csv").write_text(above + MELD)
    corpus = read(tmp_path)
    assert list(corpus.utterances["text"]) == ["Hello; you"] * 3
    assert corpus.utterances["subtitle_seconds"].tolist() == [5.672] * 3


@pytest.mark.parametrize("line", ['a",""', 'a,",""', '"', '"a,b'])
def test_quotation_marks_that_never_close_cost_no_more_than_their_lines(line: str) -> None:
    import time

    began = time.perf_counter()
    records = list(csv_records("dialogue,text\n" + f"{line}\n" * 20_000))
    assert time.perf_counter() - began < 20  # minutes, when each reads on to the end of the file
    assert len(records) > 100
