"""Published features, in files of their structure that the tests build; and pickles that try to run something."""

import collections
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hbaf.corpus.published.load import PublishedFeatures, load_published
from hbaf.corpus.published.pickles import RELATIONS
from hbaf.corpus.published.restricted_pickle import ALLOWED, load_pickle
from hbaf.corpus.schema import LABEL_SETS, CorpusError, as_utterances, load_corpus, save_corpus

# Three dialogues of two turns; as in IEMOCAP's files.
TRAIN, DEV, TEST = "Ses01F_impro01", "Ses02M_script01_1", "Ses05F_impro03"
DIALOGUES = (TEST, TRAIN, DEV)  # not sorted


def table(entry: Callable[[str, int], Any], turns: int = 2) -> dict[str, list[Any]]:
    return {dialogue: [entry(dialogue, turn) for turn in range(turns)] for dialogue in DIALOGUES}


def vectors(dim: int, number: int) -> dict[str, list[np.ndarray]]:
    """Every vector says whose it is: 100 * dialogue + 10 * turn + number."""
    order = sorted(DIALOGUES)
    return table(lambda d, t: np.full(dim, 100 * order.index(d) + 10 * t + number, np.float32))


def identities(published: PublishedFeatures, number: int) -> list[float]:
    order = sorted(DIALOGUES)
    rows = zip(published.utterances["dialogue_id"], published.utterances["turn"], strict=True)
    return [100.0 * order.index(dialogue) + 10 * turn + number for dialogue, turn in rows]


SPEAKERS = table(lambda d, t: "MF"[t])
LABELS = table(lambda d, t: 4 * t)  # happy, excited
SENTENCES = table(lambda d, t: f"{d} says {t}")
IDS = table(lambda d, t: f"{d}_{'MF'[t]}000")


def cosmic_roberta() -> tuple[Any, ...]:
    layers = [vectors(1024, number) for number in range(1, 5)]
    return SPEAKERS, LABELS, *layers, SENTENCES, [TRAIN], [TEST], [DEV]


def mmgcn() -> tuple[Any, ...]:
    return IDS, SPEAKERS, LABELS, vectors(100, 1), vectors(1582, 2), vectors(342, 3), SENTENCES, {TRAIN, DEV}, {TEST}


def sdt() -> tuple[Any, ...]:
    layers = [vectors(1024, number) for number in range(1, 5)]
    return IDS, SPEAKERS, LABELS, *layers, vectors(1582, 5), vectors(342, 6), SENTENCES, {TRAIN, DEV}, {TEST}


def write(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_cosmic_text_features(tmp_path: Path, protocol: int) -> None:
    found = load_published(
        write(tmp_path / "iemocap_features_roberta.pkl", cosmic_roberta(), protocol), "cosmic-roberta"
    )
    assert sorted(found.features) == ["roberta", "roberta1", "roberta2", "roberta3", "roberta4"]
    assert found.features["roberta3"].shape == (6, 1024)
    assert found.features["roberta3"].dtype == np.float32
    assert found.features["roberta3"][:, 7].tolist() == identities(found, 3)
    assert found.features["roberta"][:, 0].tolist() == [value + 2.5 for value in identities(found, 0)]
    assert found.emotions == LABEL_SETS["iemocap6"]
    assert found.utterances["emotion"].tolist() == ["happy", "excited"] * 3
    assert found.utterances["speaker"].tolist()[:2] == ["Ses01_M", "Ses01_F"]
    assert found.utterances["text"].tolist()[0] == f"{TRAIN} says 0"
    assert dict(found.splits.itertuples(index=False)) == {TRAIN: "train", DEV: "dev", TEST: "test"}


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    """Python 2 wrote the bytes of an array as a string: built by hand, opcode by opcode."""
    content = struct.pack("<2f", 1.5, -2.25)
    state = b"(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
    state += b"U" + bytes([len(content)]) + content + b"tb"
    pickled = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(I0\ntS'b'\n\x87R" + state + b"."
    path = tmp_path / "old.pkl"
    path.write_bytes(pickled)
    assert load_pickle(path).tolist() == [1.5, -2.25]


def test_cosmic_meld_has_sentiments_and_one_hot_speakers(tmp_path: Path) -> None:
    def entry(dialogue: int, turn: int) -> list[int]:
        return [int(turn == position) for position in range(9)]

    speakers = {dialogue: [entry(dialogue, turn) for turn in range(2)] for dialogue in (0, 10, 2)}
    labels = {dialogue: [6, 0] for dialogue in (0, 10, 2)}
    layers = [{dialogue: np.full((2, 8), dialogue) for dialogue in (0, 10, 2)}] * 4
    text = {dialogue: ["No.", "Yes."] for dialogue in (0, 10, 2)}
    path = write(tmp_path / "some.pkl", [speakers, labels, labels, *layers, text, [0], [2], [10]])
    found = load_published(path, "cosmic-roberta", name="cosmic")
    assert found.emotions == LABEL_SETS["meld"]
    assert found.utterances["emotion"].tolist() == ["anger", "neutral"] * 3
    assert found.utterances["speaker"].tolist() == ["0:0", "0:1", "10:0", "10:1", "2:0", "2:1"]
    assert found.features["roberta2"][:, 0].tolist() == [0, 0, 10, 10, 2, 2]  # with its dialogue, in table order
    assert found.splits["split"].tolist() == ["train", "dev", "test"]


def test_cosmic_commonsense_features(tmp_path: Path) -> None:
    path = write(tmp_path / "comet.pkl", [vectors(768, number) for number in range(9)])
    found = load_published(path, "cosmic-comet")
    assert tuple(found.features) == RELATIONS
    assert found.features["xReact"][:, 0].tolist() == identities(found, 5)
    assert found.emotions == ()
    assert found.utterances["emotion"].isna().all()
    assert found.splits.empty


@pytest.mark.parametrize(("like", "build", "names"), [
    ("mmgcn", mmgcn, ["audio", "text", "visual"]),
    ("sdt", sdt, ["audio", "roberta", "roberta1", "roberta2", "roberta3", "roberta4", "visual"]),
])  # fmt: skip
def test_multimodal_files(tmp_path: Path, like: Any, build: Callable[[], tuple[Any, ...]], names: list[str]) -> None:
    found = load_published(write(tmp_path / "features.pkl", build()), like)
    assert sorted(found.features) == names
    assert found.features["audio"].shape == (6, 1582)
    assert found.features["visual"][:, 0].tolist() == identities(found, 3 if like == "mmgcn" else 6)
    assert found.utterances["source_id"].tolist()[:2] == [f"{TRAIN}_M000", f"{TRAIN}_F000"]
    assert sorted(found.splits["split"]) == ["test", "train", "train"]
    longer = load_published(write(tmp_path / "longer.pkl", (*build(), {"not": "needed"})), like)
    assert len(longer.utterances) == 6


def test_it_is_a_corpus_of_its_own(tmp_path: Path) -> None:
    corpus = load_published(write(tmp_path / "IEMOCAP features.pkl", sdt()), "sdt").corpus()
    assert corpus.name == "iemocap-features"
    again = load_corpus(save_corpus(corpus, tmp_path / "saved"))
    assert again.digest() == corpus.digest()
    assert corpus.utterances["audio_problem"].str.startswith("no audio").all()


def test_rows_are_matched_by_the_sources_number_then_by_id(tmp_path: Path) -> None:
    found = load_published(write(tmp_path / "features.pkl", mmgcn()), "mmgcn", name="iemocap")
    # The release has a turn in front that the file lacks: the rank moves, the number does not.
    rows = [(TRAIN, 0, f"{TRAIN}_F999"), (TRAIN, 1, f"{TRAIN}_M000"), (TRAIN, 2, f"{TRAIN}_F000"), (TEST, 1, None)]
    other = as_utterances(pd.DataFrame(rows, columns=["dialogue_id", "turn", "source_id"]).assign(corpus="iemocap"))
    expected = found.utterances.set_index("utterance_id").index.get_loc(f"iemocap/{TEST}/1")
    assert found.rows_for(other).tolist() == [-1, 0, 1, expected]


@pytest.mark.parametrize("like", ["cosmic-roberta", "cosmic-comet", "mmgcn", "sdt"])
def test_another_structure_is_named(tmp_path: Path, like: Any) -> None:
    with pytest.raises(CorpusError, match=r"found 2 \(dict, list\)"):
        load_published(write(tmp_path / "x.pkl", (SPEAKERS, [TRAIN])), like)
    with pytest.raises(CorpusError, match="found dict"):
        load_published(write(tmp_path / "x.pkl", SPEAKERS), like)


def test_parts_that_do_not_fit_together(tmp_path: Path) -> None:
    parts = list(mmgcn())
    parts[4] = {**parts[4], DEV: parts[4][DEV][:1]}
    with pytest.raises(CorpusError, match=rf"'{DEV}' has 2 utterances but 1 entries in 'audio'"):
        load_published(write(tmp_path / "short.pkl", tuple(parts)), "mmgcn")
    parts[4] = table(lambda d, t: np.zeros(3 + (d == DEV)))
    with pytest.raises(CorpusError, match="'audio' is not one vector of equal length"):
        load_published(write(tmp_path / "ragged.pkl", tuple(parts)), "mmgcn")


def test_labels_without_names(tmp_path: Path) -> None:
    def renamed(part: Any) -> Any:
        if isinstance(part, dict):
            return {f"scene {key}": value for key, value in part.items()}
        return [f"scene {key}" for key in part]

    path = write(tmp_path / "emorynlp.pkl", tuple(map(renamed, cosmic_roberta())))
    with pytest.raises(CorpusError, match="Give their names in order"):
        load_published(path, "cosmic-roberta")
    names = ["joyful", "mad", "peaceful", "neutral", "sad"]
    assert load_published(path, "cosmic-roberta", emotions=names).utterances["emotion"].tolist()[:2] == [
        "joyful",
        "sad",
    ]
    with pytest.raises(CorpusError, match="the label 4, but there are 2 names"):
        load_published(path, "cosmic-roberta", emotions=["joyful", "mad"])


# --- pickles that want more than data -------------------------------------------------------------------------------


class Runs:
    """Unpickled without care, it makes the file that its name says."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "named"), [(os.mkdir, r"posix\.mkdir|nt\.mkdir"), (eval, r"(builtins|__builtin__)\.eval")]
)
def test_nothing_is_run(tmp_path: Path, function: Any, named: str, protocol: int) -> None:
    mark = tmp_path / "was-run"
    argument = str(mark) if function is os.mkdir else f"__import__('os').mkdir({str(mark)!r})"
    path = write(tmp_path / "evil_features.pkl", (SPEAKERS, Runs(function, argument)), protocol)
    with pytest.raises(CorpusError, match=named) as refusal:
        load_published(path, "mmgcn")
    assert not mark.exists()
    message = str(refusal.value)
    assert str(path) in message
    assert "Nothing of it was run" in message
    assert "npz" in message


@pytest.mark.parametrize(
    ("pickled", "why"),
    [
        (b"cbuiltins\ngetattr\n.", "names builtins.getattr"),
        (b"c__builtin__\neval\n.", "names __builtin__.eval"),
        (b"cnumpy\nload\n.", "names numpy.load"),
        (b"cnumpy.core.multiarray\nfrombuffer\n.", "names numpy.core.multiarray.frombuffer"),
        # dotted names walk through attributes
        (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "names numpy.ndarray.tofile"),
        (b"\x80\x04\x8c\x08builtins\x8c\x0edict.__class__\x93.", "names builtins.dict.__class__"),
        (b"ccopyreg\n_reconstructor\n.", "names copyreg._reconstructor"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n.", "names torch._utils._rebuild_tensor_v2"),
        (b"cpandas.core.frame\nDataFrame\n.", "names pandas.core.frame.DataFrame"),
        (b"Pwhatever\n.", "persistent id"),
        (b"\x80\x02\x82\x01.", "unregistered extension"),
        (b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.", "encodes text as 'rot13'"),
        (b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.", "class instead of data"),
        (b"cnumpy\ndtype\n.", "class instead of data"),
        # a state set on what all files share: in its dictionary, in its attributes
        (b"c_codecs\nencode\n}S'__new__'\ncbuiltins\nlist\nsb.", "mappingproxy"),
        (b"c_codecs\nencode\n(N}S'__new__'\ncbuiltins\nlist\nstb.", "changes _Latin1"),
        # bytes as the address of an object; a structured type; one whose flags deny that it holds objects
        (
            b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\nI0\nI1\ntRS'12345678'\ntR.",
            "bytes as Python objects",
        ),
        (b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'|'\nN(S'a'\nt}I8\nI1\nI0\ntb.", "structured array"),
        (b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.", "numbers of type 'V8'"),
    ],
)
def test_what_is_not_data_is_refused(tmp_path: Path, pickled: bytes, why: str) -> None:
    shared = [(kind, dict(vars(kind))) for entries in ALLOWED.values() for kind in entries.values()]
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickled)
    with pytest.raises(CorpusError, match=why) as refusal:
        load_pickle(path)
    assert str(path) in str(refusal.value)
    assert all(dict(vars(kind)) == before for kind, before in shared)


def test_only_makers_of_containers_are_allowed() -> None:
    """Whoever adds a name here must mean it."""
    builtins = {"list", "dict", "tuple", "set", "frozenset", "str", "bytes", "bytearray", "int", "float", "bool"}
    assert set(ALLOWED["builtins"]) == {*builtins, "complex", "unicode"}
    assert set(ALLOWED) == {
        "builtins", "__builtin__", "collections", "_codecs", "numpy", "numpy.core.multiarray", "numpy._core.multiarray",
        "numpy.core.numeric", "numpy._core.numeric",
    }  # fmt: skip


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back_whole(tmp_path: Path, protocol: int) -> None:
    arrays = [
        np.arange(24, dtype="f4").reshape(2, 3, 4),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
        np.arange(3, dtype=">i4"),
        np.array(["ab", "c"]),
        np.array([True, False]),
        np.zeros((0, 5), np.float64),
    ]
    others = [b"bytes", np.float32(1.5), {"s"}, collections.OrderedDict(a=1), collections.defaultdict(list, x=[1])]
    found = load_pickle(write(tmp_path / "x.pkl", [arrays, others], protocol))
    for array, again in zip(arrays, found[0], strict=True):
        np.testing.assert_array_equal(again, array)
        assert again.dtype == array.dtype
    assert found[1] == [b"bytes", 1.5, {"s"}, {"a": 1}, {"x": [1]}]
    ragged = np.array([np.arange(2), None], dtype=object)
    again = load_pickle(write(tmp_path / "y.pkl", ragged, protocol))
    assert again[0].tolist() == [0, 1]
    assert again[1] is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", pickle.dumps([1, 2, 3])[:-4], b"(" * 50 + b"."])
def test_what_is_no_pickle(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pkl"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="not a whole pickle"):
        load_pickle(path)


# --- npz and Parquet ------------------------------------------------------------------------------------------------

MELD_ROWS = {
    "split": np.array(["train", "train", "val", "test"]),
    "Dialogue_ID": np.array([3, 3, 3, 0]),
    "Utterance_ID": np.array([9, 4, 0, 2]),
}
NUMBERS = np.array([[1, 2], [3, np.nan], [5, 6], [7, 8]], np.float32)


def test_npz_with_melds_keys(tmp_path: Path) -> None:
    np.savez(tmp_path / "praat.npz", **MELD_ROWS, praat=NUMBERS, pitch=NUMBERS[:, 0], praat_names=np.array(["a", "b"]))
    found = load_published(tmp_path / "praat.npz", "npz")
    assert found.utterances["utterance_id"].tolist() == [
        "meld/dev-3/0",
        "meld/test-0/0",
        "meld/train-3/0",
        "meld/train-3/1",
    ]
    assert found.utterances["source_id"].tolist() == ["dia3_utt0", "dia0_utt2", "dia3_utt4", "dia3_utt9"]
    np.testing.assert_array_equal(found.features["praat"], NUMBERS[[2, 3, 1, 0]])
    assert sorted(found.features) == ["pitch", "praat"]
    assert found.features["pitch"].shape == (4, 1)
    assert found.splits["split"].tolist() == ["dev", "test", "train"]


def test_npz_with_utterance_ids(tmp_path: Path) -> None:
    ids = np.array(["calls/b/0", "calls/a/1", "calls/a/0", "calls/b/1"])
    np.savez(tmp_path / "x.npz", utterance_id=ids, mine=NUMBERS)
    found = load_published(tmp_path / "x.npz", "npz")
    assert found.name == "calls"
    np.testing.assert_array_equal(found.features["mine"], NUMBERS[[2, 1, 0, 3]])
    np.savez(tmp_path / "keys.npz", **{str(name): row for name, row in zip(ids, NUMBERS, strict=True)})
    np.testing.assert_array_equal(load_published(tmp_path / "keys.npz", "npz").features["keys"], NUMBERS[[2, 1, 0, 3]])


def test_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "utterance_id": ["calls/b/0", "calls/a/0", "calls/a/1"],
            "split": ["test", "train", "train"],
            "speaker": ["x", "y", "z"],
            "emotion": ["joy", None, "anger"],
            "wavlm": [[1.0, 2.0], None, [5.0, 6.0]],
            "pitch": [0.1, 0.2, 0.3],
            "energy": [1, 2, 3],
        }
    )
    frame.to_parquet(tmp_path / "egemaps.parquet")
    found = load_published(tmp_path / "egemaps.parquet", "parquet")
    np.testing.assert_array_equal(found.features["wavlm"], [[np.nan, np.nan], [5, 6], [1, 2]])
    np.testing.assert_allclose(found.features["egemaps"], [[0.2, 2], [0.3, 3], [0.1, 1]], rtol=1e-6)
    assert found.utterances["speaker"].tolist() == ["y", "z", "x"]
    assert found.emotions == ("anger", "joy")
    assert dict(found.splits.itertuples(index=False)) == {"a": "train", "b": "test"}


def test_tables_that_cannot_be_joined(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", mine=NUMBERS)
    with pytest.raises(CorpusError, match="no row says which utterance"):
        load_published(tmp_path / "x.npz", "npz")
    np.savez(tmp_path / "x.npz", utterance_id=np.array(["a/0", "b"]), mine=NUMBERS[:2])
    with pytest.raises(CorpusError, match="'a/0' is not <corpus>/<dialogue>/<turn>"):
        load_published(tmp_path / "x.npz", "npz")
    np.savez(tmp_path / "x.npz", utterance_id=np.array(["c/a/0"] * 2), mine=NUMBERS[:2])
    with pytest.raises(CorpusError, match="same dialogue and turn"):
        load_published(tmp_path / "x.npz", "npz")
    np.savez(tmp_path / "x.npz", utterance_id=np.array(["c/a/0", "c/a/1"]), text=np.array(["a", "b"]))
    with pytest.raises(CorpusError, match="no numbers with one row per utterance"):
        load_published(tmp_path / "x.npz", "npz")


def test_objects_in_an_npz_are_not_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    np.savez(tmp_path / "x.npz", utterance_id=np.array(["c/a/0"]), evil=np.array([Runs(os.mkdir, str(mark))], object))
    with pytest.raises(CorpusError, match="without objects"):
        load_published(tmp_path / "x.npz", "npz")
    assert not mark.exists()


def test_an_unknown_structure_or_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="There are: cosmic-roberta"):
        load_published(tmp_path / "x.pkl", "dag-erc")  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="no such file"):
        load_published(tmp_path / "x.pkl", "sdt")


def test_the_real_praat_features(real_data: Path) -> None:
    from hbaf.corpus.readers.meld import read_meld
    from hbaf.parameters import CorpusParameters

    found = load_published(real_data / "meld" / "meld_praat8.npz", "npz")
    assert found.features["praat8"].shape == (13708, 8)
    corpus = read_meld(CorpusParameters(reader="meld", root=real_data / "meld"))
    rows = found.rows_for(corpus.utterances)
    assert sorted(rows) == list(range(13708))
    assert found.corpus().splits_digest() == corpus.splits_digest()
    # Duration is the first number: it agrees with the subtitles where the rows match.
    seconds, subtitles = found.features["praat8"][rows, 0], corpus.utterances["subtitle_seconds"].to_numpy()
    assert np.nanmedian(np.abs(seconds - subtitles)) < 0.05
    silent = corpus.utterances.loc[np.isnan(found.features["praat8"][rows]).all(1), ["dialogue_id", "source_id"]]
    assert silent.values.tolist() == [["dev-110", "dia110_utt7"], ["train-125", "dia125_utt3"]]
