"""Bad input of every kind that we know: what it costs, what message comes, and that nothing else suffers.

A folder of three dialogues is damaged in its third one. The first two must come out as they do without the third, bit
for bit. docs/bad-input.md lists the cases with the messages that they really give; after a change of either,
`HBAF_WRITE_DOCS=1 python -m pytest tests/corpus/test_bad_input.py` writes it anew.
"""

import csv
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from feature_store.store import FeatureStore
from hbaf.cli import main
from hbaf.corpus.schema import Corpus
from hbaf.features.extract import extract_column, read_column
from hbaf.pipeline import prepare
from hbaf.verbs.options import CorpusOptions, aloud

DOCS = Path(__file__).parents[2] / "docs" / "bad-input.md"
COLUMNS = ("dialogue", "turn", "speaker", "text", "audio", "emotion")
GOOD, HURT = ("good1", "good2"), "hurt"
RATE = 8_000
Damage = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """One kind of bad input.

    Attributes:
        what: what is wrong, for the docs.
        costs: "nothing", "a row" (set aside), "its sound", "its words" (the row stays, marked), "the call" (all rows of
            the transcript) or "the run" (nothing is done before somebody mends it).
        damage: done to the folder that `write_calls` makes.
        options: of `hbaf.verbs.options.CorpusOptions`.
    """

    what: str
    costs: str
    damage: Damage
    options: tuple[tuple[str, Any], ...] = ()


# How a healthy folder is made, and the ways to hurt it.


def sound(seed: int, seconds: float = 0.4) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * (120 + 10 * seed) * times) * (1 + np.sin(2 * np.pi * 4 * times))
    return 0.1 * tone + 0.01 * np.random.default_rng(seed).standard_normal(len(times))


def noise(seed: int, seconds: float = 0.4) -> np.ndarray:
    return 0.05 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def rows_of(*dialogues: str) -> list[dict[str, str]]:
    return [
        {
            "dialogue": dialogue,
            "turn": str(turn),
            "speaker": ("Ann", "Bob")[turn % 2],
            "text": f"words of {dialogue}, turn {turn}",
            "audio": f"{dialogue}_{turn}.wav",
            "emotion": ("joy", "anger")[turn % 2],
        }
        for dialogue in dialogues
        for turn in range(3)
    ]


def write_calls(root: Path, *dialogues: str) -> None:
    root.mkdir()
    for seed, row in enumerate(rows_of(*dialogues)):
        soundfile.write(root / row["audio"], sound(seed), RATE)
    write_rows(root, rows_of(*dialogues))


def write_rows(root: Path, rows: list[dict[str, str]], name: str = "calls.csv", **form: Any) -> None:
    with (root / name).open("w", encoding=form.pop("encoding", "utf-8"), newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n", **form)
        writer.writeheader()
        writer.writerows(rows)


def field(**values: str) -> Damage:
    """Other values in the second row of the hurt dialogue; a column that is not there yet is empty elsewhere."""

    def damage(root: Path) -> None:
        rows = [{**dict.fromkeys(values, ""), **row} for row in rows_of(*GOOD, HURT)]
        rows[7] |= values
        write_rows(root, rows)

    return damage


def text_of_line(text: str) -> Damage:
    """Another line in place of the second row of the hurt dialogue, which is line 9."""
    old = f'{HURT},1,Bob,"words of {HURT}, turn 1",{HURT}_1.wav,anger'
    return lambda root: replace_in(root / "calls.csv", old, text)


def replace_in(file: Path, old: str, new: str | bytes) -> None:
    content = file.read_bytes()
    assert old.encode() in content
    file.write_bytes(content.replace(old.encode(), new if isinstance(new, bytes) else new.encode()))


def content(made: Callable[[bytes], bytes]) -> Damage:
    """Other bytes in the second recording of the hurt dialogue."""
    return lambda root: audio(root).write_bytes(made(audio(root).read_bytes()))


def samples(made: Callable[[np.ndarray], np.ndarray], rate: int = RATE) -> Damage:
    return lambda root: soundfile.write(audio(root), made(sound(7)), rate, subtype="FLOAT", format="WAV")


def in_place(made: Callable[[Path], Any]) -> Damage:
    """Something else in place of the second recording of the hurt dialogue."""

    def damage(root: Path) -> None:
        audio(root).unlink()
        made(audio(root))

    return damage


def audio(root: Path) -> Path:
    return root / f"{HURT}_1.wav"


def as_kind(suffix: str, keep: float = 1.0, seconds: float = 2.0) -> Damage:
    """Another kind of file under the name of a WAV, and only the first part of it."""

    def damage(root: Path) -> None:
        path = root / f"other.{suffix}"
        soundfile.write(path, sound(7, seconds) + noise(0, seconds), RATE)
        whole = path.read_bytes()
        path.unlink()
        audio(root).write_bytes(whole[: round(len(whole) * keep)])

    return damage


def lying_header(whole: bytes) -> bytes:
    at = whole.index(b"data") + 4
    return whole[:at] + struct.pack("<I", 10 * len(whole)) + whole[at + 4 :]


def lying_flac(root: Path) -> None:
    as_kind("flac")(root)
    whole = bytearray(audio(root).read_bytes())
    whole[21:26] = bytes([whole[21] | 0x0F, 0xFF, 0xFF, 0xFF, 0xFF])  # 36 bits of samples, all set
    audio(root).write_bytes(whole)


def six_channels(made: Callable[[int], np.ndarray]) -> Damage:
    return lambda root: soundfile.write(audio(root), np.stack([made(seed) for seed in range(6)], axis=1), RATE)


def manifest(made: Callable[[bytes], bytes]) -> Damage:
    return lambda root: (root / "calls.csv").write_bytes(made((root / "calls.csv").read_bytes()))


def header(old: bytes, new: bytes) -> Damage:
    return manifest(lambda whole: whole.replace(old, new, 1))


def json_line(change: Callable[[str], str]) -> Damage:
    """The manifest as JSON lines, with another eighth one."""

    def damage(root: Path) -> None:
        lines = [json.dumps(row) for row in rows_of(*GOOD, HURT)]
        lines[7] = change(lines[7])
        (root / "calls.csv").unlink()
        (root / "calls.jsonl").write_text("\n".join(lines))

    return damage


def as_parquet(root: Path) -> None:
    (root / "calls.csv").unlink()
    pd.DataFrame(rows_of(*GOOD, HURT)).to_parquet(root / "calls.parquet")
    whole = (root / "calls.parquet").read_bytes()
    (root / "calls.parquet").write_bytes(whole[: len(whole) // 2])


def shuffled(root: Path) -> None:
    rows = rows_of(*GOOD, HURT)
    write_rows(root, [rows[index] for index in np.random.default_rng(0).permutation(len(rows))])


def elsewhere(root: Path, name: str) -> Path:
    path = root.parent / name
    soundfile.write(path, sound(7), RATE, format="WAV")
    return path


def link_out(path: Path) -> None:
    path.symlink_to(elsewhere(path.parent, "x.wav"))


def as_transcripts(change: Damage) -> Damage:
    """The same three dialogues as one recording each with captions beside it, then hurt."""

    def damage(root: Path) -> None:
        (root / "calls.csv").unlink()
        for dialogue in (*GOOD, HURT):
            turns = [soundfile.read(root / f"{dialogue}_{turn}.wav")[0] for turn in range(3)]
            for turn in range(3):
                (root / f"{dialogue}_{turn}.wav").unlink()
            soundfile.write(root / f"{dialogue}.wav", np.concatenate(turns), RATE)
            captions = [
                f"\n00:00:{0.4 * turn:06.3f} --> 00:00:{0.4 * turn + 0.4:06.3f}\n<v {row['speaker']}>{row['text']}\n"
                for turn, row in enumerate(rows_of(dialogue))
            ]
            (root / f"{dialogue}.vtt").write_text("WEBVTT\n" + "".join(captions))
        change(root)

    return damage


def captions(old: str, new: str) -> Damage:
    return as_transcripts(lambda root: replace_in(root / f"{HURT}.vtt", old, new))


def as_json(text: str) -> Damage:
    def damage(root: Path) -> None:
        (root / f"{HURT}.vtt").unlink()
        (root / f"{HURT}.json").write_text(text)

    return damage


def pipe_for_transcript(root: Path) -> None:
    (root / f"{HURT}.vtt").unlink()
    os.mkfifo(root / f"{HURT}.vtt")


def damaged_byte(root: Path) -> None:
    replace_in(root / "calls.csv", "words of hurt, turn 0", "Größe äöüß")
    replace_in(root / "calls.csv", "words of hurt, turn 1", b"w\xffrds")


def bars(root: Path) -> None:
    write_rows(root, rows_of(*GOOD, HURT), delimiter="|")


def manifest_elsewhere(root: Path) -> None:
    (root / "calls.csv").rename(root.parent / "x.csv")
    (root / "calls.csv").symlink_to(root.parent / "x.csv")


def climbing_path(root: Path) -> None:
    elsewhere(root, "x.wav")
    field(audio="../x.wav")(root)


def two_splits(root: Path) -> None:
    rows = rows_of(*GOOD, HURT)
    write_rows(root, [{**row, "split": ("train", "test")[number % 2]} for number, row in enumerate(rows)])


def uncorrelated_everywhere(root: Path) -> None:
    for seed, path in enumerate(sorted(root.glob("*.wav"))):
        soundfile.write(path, np.stack([sound(seed), sound(seed + 50)[::-1]], axis=1), RATE)


LABELS = (("set_", ["corpus.bad_share=0.5", 'corpus.emotions=["joy", "anger"]']),)
PIPE = (("manifest", "pipe.csv"),)
CASES: dict[str, list[Case]] = {
    "Audio": [
        Case("a WAV cut short in copying", "its sound", content(lambda whole: whole[: len(whole) // 2])),
        Case("an MP3 cut short", "its sound", as_kind("mp3", 0.5)),
        Case("a FLAC cut short", "its sound", as_kind("flac", 0.5)),
        Case("an empty file", "its sound", content(lambda _: b"")),
        Case("a text with the suffix of a sound", "its sound", content(lambda _: b"Dear all,\n" * 99)),
        Case("random bytes", "its sound", content(lambda _: np.random.default_rng(0).bytes(9_999))),
        Case(
            "a playlist that names another file", "its sound", content(lambda _: b"ffconcat version 1.0\nfile a.wav\n")
        ),
        Case("a header without sound", "its sound", samples(lambda signal: signal[:0])),
        Case("a WAV header that announces ten times as much", "its sound", content(lying_header)),
        Case("a FLAC header that announces months", "its sound", lying_flac),
        Case("a sample rate of 3 Hz", "its sound", samples(lambda signal: signal, rate=3)),
        Case("NaN among the samples", "its sound", samples(lambda signal: np.where(signal > 0.1, np.nan, signal))),
        Case("infinite samples", "its sound", samples(lambda signal: np.where(signal > 0.1, np.inf, signal))),
        Case("16-bit numbers saved as floats", "its sound", samples(lambda signal: signal * 32_768)),
        Case("digital silence", "its sound", samples(lambda signal: signal * 0)),
        Case("10 ms", "its sound", samples(lambda signal: signal[: RATE // 100])),
        Case("no such file", "its sound", in_place(lambda path: None)),
        Case("a link to itself", "its sound", in_place(lambda path: path.symlink_to(path))),
        Case("a pipe", "its sound", in_place(os.mkfifo)),
        Case("a folder", "its sound", in_place(os.mkdir)),
        Case("a link to a device", "its sound", in_place(lambda path: path.symlink_to("/dev/zero"))),
        Case("a link out of the folder", "its sound", in_place(link_out)),
        Case("an OGG with the suffix .wav", "nothing", as_kind("ogg")),
        Case("six channels of one scene", "nothing", six_channels(lambda _: sound(7))),
        Case("six channels of six people", "its sound", six_channels(noise)),
        Case("a channel that the file does not have", "its sound", field(channel="3")),
        Case("a turn after the end of its recording", "its sound", field(start="60", end="61")),
    ],
    "Manifest": [
        Case("UTF-16, as spreadsheets save it", "nothing", manifest(lambda whole: whole.decode().encode("utf-16"))),
        Case("Windows-1252", "nothing", manifest(lambda whole: whole.replace(b"words of hurt", b"gr\xfc\xdfe"))),
        Case("UTF-8 with a damaged byte", "a row", damaged_byte),
        Case("a picture", "the run", manifest(lambda _: b"\x89PNG\r\n\x1a\n\x00\x00\x01\xff\xfe" * 50)),
        Case("empty", "the run", manifest(lambda _: b"")),
        Case("a header and no rows", "the run", manifest(lambda whole: whole.splitlines()[0])),
        Case("bars in place of commas", "nothing", bars),
        Case("no column for the dialogue", "the run", header(b"dialogue,", b"call,")),
        Case("a column twice", "the run", header(b"speaker,", b"text,")),
        Case("two columns for one thing", "the run", header(b"speaker,text", b"transcript,utterance")),
        Case("a turn twice in a dialogue", "a row", field(turn="0")),
        Case("a row with too few fields", "a row", text_of_line(f"{HURT},1,Bob")),
        Case(
            "a comma in text without quotation marks",
            "a row",
            text_of_line(f"{HURT},1,Bob,well, yes,{HURT}_1.wav,anger"),
        ),
        Case("quotation marks that are never closed", "a row", text_of_line(f'{HURT},1,Bob,"well,{HURT}_1.wav,anger')),
        Case("a broken line of JSON", "a row", json_line(lambda line: line[:-9])),
        Case("a line of JSON that is no object", "a row", json_line(lambda _: "[1, 2]")),
        Case("a name twice in a line of JSON", "a row", json_line(lambda _: '{"text": 1, "text": 2}')),
        Case("a Parquet file cut short", "the run", as_parquet),
        Case("two manifests", "the run", lambda root: write_rows(root, rows_of(*GOOD), "more.csv")),
        Case("none", "the run", lambda root: (root / "calls.csv").unlink()),
        Case("one that is not there", "the run", lambda root: None, (("manifest", "missing.csv"),)),
        Case("a name that climbs out of the folder", "the run", lambda root: None, (("manifest", "../calls.csv"),)),
        Case("a pipe as the manifest", "the run", lambda root: os.mkfifo(root / "pipe.csv"), PIPE),
        Case("a link out of the folder as the manifest", "the run", manifest_elsewhere),
        Case(
            "a line that is no row in most places",
            "the run",
            manifest(lambda whole: whole.replace(b",1,", b",one,")),
            (("set_", None),),
        ),
    ],
    "Content": [
        Case("no text", "its words", field(text="")),
        Case("blanks, and signs that have no width", "its words", field(text=" \t\u200b\ufeff\u00a0 ")),
        Case("endless text", "its words", field(text="very " * 4_000)),
        Case("the words null, None and NaN as text", "nothing", field(text="null")),
        Case("NUL bytes and control characters in text", "nothing", field(text="no\x00thing \x1b[31mto see\x07")),
        Case("text from right to left, with an override", "nothing", field(text="\u202eשלום")),
        Case("half an emoji", "nothing", json_line(lambda line: line.replace("words", "\\ud83d"))),
        Case(
            "a script in text and name",
            "nothing",
            field(text="<script>alert(1)</script>", speaker="<img src=x onerror=alert(1)>"),
        ),
        Case("a spreadsheet formula as text", "nothing", field(text='=HYPERLINK("http://127.0.0.1/"&A1)')),
        Case("a path that climbs out of the folder", "its sound", climbing_path),
        Case("an absolute path elsewhere", "its sound", field(audio="/etc/hostname")),
        Case("a path of 5,000 letters", "its sound", field(audio="a" * 5_000)),
        Case("a path with backslashes", "nothing", field(audio=f".\\{HURT}_1.wav")),
        Case("a dialogue called ../x", "nothing", lambda root: replace_in(root / "calls.csv", "\nhurt,", "\n../x,")),
    ],
    "Structure": [
        Case("gaps in the numbers of the turns", "nothing", field(turn="1.5")),
        Case("shuffled rows", "nothing", shuffled),
        Case("a folder with a link to itself", "nothing", lambda root: (root / "round").symlink_to(root)),
        Case("no dialogue in a row", "a row", field(dialogue="")),
        Case("a turn that is no number", "a row", field(turn="second")),
        Case("an end before its start", "a row", field(start="0.3", end="0.1")),
        Case("a time that nobody understands", "a row", field(start="soon")),
        Case("a time without end", "a row", field(start="inf")),
        Case("a channel that is no number", "a row", field(channel="left")),
        Case("a label outside the set", "a row", field(emotion="bliss"), LABELS),
        Case("a split that is none", "a row", field(split="exam")),
        Case("a dialogue in two splits", "the run", two_splits),
        Case("one person per channel, and nobody says who", "the run", uncorrelated_everywhere),
        Case("a speaker without a channel", "the run", lambda root: None, (("channels", "0=Ann"),)),
        Case("a mapping of channels that is none", "the run", lambda root: None, (("channels", "Ann,Bob"),)),
        Case("a folder that is not there", "the run", lambda root: root.rename(root.parent / "moved")),
    ],
    "Transcripts": [
        Case("a cue whose time is broken", "a row", captions("00:00:00.400 -->", "00:00:0O -->")),
        Case("a cue that ends before it starts", "a row", captions("--> 00:00:00.800", "--> 00:00:00.100")),
        Case("words without a time", "a row", captions("WEBVTT", "WEBVTT\n\nwords of nobody")),
        Case("two people in one cue", "its sound", captions("<v Bob>words", "<v Ann>No!</v><v Bob>words")),
        Case("JSON that is no transcript", "the call", as_transcripts(as_json('{"a": 1}'))),
        Case("JSON cut short", "the call", as_transcripts(as_json('{"segments": [{"text": "a'))),
        Case(
            "a transcript without a recording",
            "its sound",
            as_transcripts(lambda root: (root / f"{HURT}.wav").unlink()),
        ),
        Case(
            "a recording without a transcript", "the call", as_transcripts(lambda root: (root / f"{HURT}.vtt").unlink())
        ),
        Case("a pipe as a transcript", "the call", as_transcripts(pipe_for_transcript)),
    ],
}


# What comes of it.


@dataclass(frozen=True)
class Outcome:
    corpus: Corpus | None
    said: str


def run(case: Case, root: Path, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """As the verbs do it: `hbaf extract` for what stops the run, its first step for the rest."""
    options = {"manifest": None, "set_": ["corpus.bad_share=0.5"], **dict(case.options)}
    if case.costs == "the run":
        given = [
            part for name in ("manifest", "channels") if options.get(name) for part in (f"--{name}", options[name])
        ]
        given += [part for change in options["set_"] or [] for part in ("--set", change)]
        with pytest.raises(SystemExit) as stopped:
            main(["extract", str(root), "--quiet", *given])
        assert stopped.value.code == 2
        corpus = None
    else:
        corpus = aloud(prepare, notes=False)(CorpusOptions(**options).corpus(str(root))).corpus
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return Outcome(corpus, said.strip().replace(str(root.parent) + "/", "").replace("hbaf: ", ""))


def vectors_of(corpus: Corpus, folder: Path) -> pd.DataFrame:
    """MFCC statistics by utterance, from a store of their own."""
    store = FeatureStore(str(folder))
    vectors, _ = read_column(corpus, extract_column(corpus, "mfcc", store, workers=1), store)
    return pd.DataFrame(vectors, index=corpus.utterances["utterance_id"])


def rows_of_good(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["dialogue_id"].isin(GOOD)].reset_index(drop=True)


@pytest.fixture(scope="module")
def without_hurt(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, tuple[pd.DataFrame, pd.DataFrame]]:
    """Tables and vectors of the good dialogues alone, from a manifest (False) and from transcripts (True)."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for transcripts in (False, True):
            folder = tmp_path_factory.mktemp("reference")
            patch.setenv("HBAF_HOME", str(folder / "home"))
            write_calls(folder / "calls", *GOOD, HURT)
            if transcripts:
                as_transcripts(lambda root: [path.unlink() for path in root.glob(f"{HURT}*")])(folder / "calls")
            else:
                write_rows(folder / "calls", rows_of(*GOOD))
            corpus = prepare(folder / "calls").corpus
            found[transcripts] = (corpus.utterances, vectors_of(corpus, folder / "store"))
    return found


ALL = [pytest.param(group, case, id=f"{group}: {case.what}") for group, cases in CASES.items() for case in cases]


@pytest.fixture(scope="module")
def messages() -> dict[str, str]:
    return {}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("group", "case"), ALL)
def test_what_it_costs_and_what_is_said(
    group: str,
    case: Case,
    tmp_path: Path,
    without_hurt: dict[bool, tuple[pd.DataFrame, pd.DataFrame]],
    messages: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "calls"
    write_calls(root, *GOOD, HURT)
    case.damage(root)
    outcome = run(case, root, capsys)
    messages[case.what] = outcome.said
    assert (outcome.said == "") == (case.costs == "nothing"), outcome.said
    if outcome.corpus is None:
        return
    good, vectors = without_hurt[group == "Transcripts"]
    table = outcome.corpus.utterances
    pd.testing.assert_frame_equal(rows_of_good(table)[list(good)], good, check_exact=True)
    found = vectors_of(outcome.corpus, tmp_path / "store")
    pd.testing.assert_frame_equal(found.loc[vectors.index], vectors, check_exact=True)
    check_costs(case, outcome.corpus, found)


def check_costs(case: Case, corpus: Corpus, vectors: pd.DataFrame) -> None:
    hurt = corpus.utterances[~corpus.utterances["dialogue_id"].isin(GOOD)]
    has_sound = vectors.loc[hurt["utterance_id"]].notna().all(axis=1).to_numpy()
    if case.costs == "nothing":
        assert len(hurt) == 3
        assert has_sound.all()
        assert hurt["text_problem"].isna().all()
        assert len(corpus.set_aside) == 0
    elif case.costs == "a row":
        assert len(corpus.set_aside) == 1
        assert hurt["audio_problem"].isna().all()
    elif case.costs == "the call":
        assert len(hurt) == 0
    elif case.costs == "its words":
        assert hurt["text_problem"].notna().tolist() == [False, True, False]
        assert has_sound.all()
    else:
        assert case.costs == "its sound"
        assert len(corpus.set_aside) == 0
        assert hurt["text_problem"].isna().all()
        assert hurt["audio_problem"].notna().to_numpy().tolist() == (~has_sound).tolist()
        assert has_sound.sum() == {"a transcript without a recording": 0}.get(case.what, 2)


BEGIN, END = "<!-- cases -->\n", "<!-- end of cases -->\n"


def table_of(messages: dict[str, str]) -> str:
    lines = []
    for group, cases in CASES.items():
        lines += [f"\n## {group}\n", "| what is wrong | costs | message |", "|---|---|---|"]
        for case in cases:
            said = messages[case.what].replace("|", "\\|").replace("\n", "<br>")
            lines.append(f"| {case.what} | {case.costs} | {f'`{said}`' if said else ''} |")
    return "\n".join(lines) + "\n\n"


def test_the_docs_show_the_messages(messages: dict[str, str]) -> None:
    if len(messages) < len(ALL):
        pytest.skip("only with all the cases before it")
    before, _, rest = DOCS.read_text().partition(BEGIN)
    written, _, after = rest.partition(END)
    if os.environ.get("HBAF_WRITE_DOCS"):
        written = table_of(messages)
        DOCS.write_text(before + BEGIN + written + END + after)
    assert written == table_of(messages)


def test_there_are_many_and_each_has_its_own_name() -> None:
    names = [case.what for cases in CASES.values() for case in cases]
    assert len(set(names)) == len(names)
    assert len(names) >= 40
