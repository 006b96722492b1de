"""Pipes, devices and links out of the folder, in the place of each file that each reader opens."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.confined import confined, read_confined
from hbaf.corpus.read import read_corpus
from hbaf.corpus.schema import CorpusError
from hbaf.parameters import CorpusParameters
from tests.corpus.readers.test_iemocap import DIALOGUE, write_dialogue
from tests.corpus.readers.test_meld import write_release

pytestmark = pytest.mark.timeout(60)  # a pipe is waited for for ever


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_out(path: Path) -> None:
    secret = Path(os.environ["HBAF_HOME"]) / "secret"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("a secret of the user's")
    path.symlink_to(secret)


KINDS = [a_pipe, a_device, a_link_out]


def iemocap(root: Path) -> list[str]:
    for session in range(1, 6):
        for scene in ("impro01", "script01_1"):
            write_dialogue(root, session, f"Ses0{session}F_{scene}", DIALOGUE)
    dialog = "Session1/dialog"
    return [f"{dialog}/EmoEvaluation/Ses01F_impro01.txt", f"{dialog}/transcriptions/Ses01F_impro01.txt"]


def meld(root: Path) -> list[str]:
    write_release(root)
    return ["train_sent_emo.csv"]


def audformat_database(root: Path) -> list[str]:
    audformat = pytest.importorskip("audformat", reason="audformat is not installed: pip install 'hbaf[audformat]'")
    database = audformat.Database("calls")
    database.schemes["emotion"] = audformat.Scheme("str", labels=["joy", "anger"])
    table = database["gold"] = audformat.Table(audformat.filewise_index(["a/1.wav", "a/2.wav"]))
    table["emotion"] = audformat.Column(scheme_id="emotion")
    table["emotion"].set(["joy", "anger"])
    database.save(str(root), storage_format="csv")
    return ["db.yaml", "db.gold.csv"]


def folder(root: Path) -> list[str]:
    rows = {"dialogue": ["a", "a"], "turn": [0, 1], "text": ["Yes.", "No."], "emotion": ["joy", "anger"]}
    pd.DataFrame(rows).to_csv(root / "calls.csv", index=False)
    return ["calls.csv"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [iemocap, meld, audformat_database, folder])
def test_readers_open_ordinary_files_of_their_folder_alone(
    write: Callable[[Path], list[str]], kind: Callable[[Path], None], tmp_path: Path
) -> None:
    names = write(_new(tmp_path / "whole"))
    for number, name in enumerate(names):
        root = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", root)
        (root / name).unlink()
        kind(root / name)
        reader = {audformat_database: "audformat"}.get(write, write.__name__)
        manifest = name if write is folder else None
        with pytest.raises(
            CorpusError, match=r"pipe or device|is a link out of the corpus folder|lies outside the corpus"
        ):
            read_corpus(CorpusParameters(reader=reader, root=root, manifest=manifest))


def _new(root: Path) -> Path:
    root.mkdir()
    return root


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_confined_is_read_as_a_whole_or_not_at_all(kind: Callable[[Path], None], tmp_path: Path) -> None:
    root = _new(tmp_path / "root")
    (root / "plain").write_bytes(b"content")
    (root / "inside").symlink_to(root / "plain")
    assert read_confined(root / "inside", root) == b"content"
    kind(root / "strange")
    with pytest.raises(CorpusError, match=r"pipe or device|link out"):
        read_confined(root / "strange", root)


def test_a_loop_and_an_absent_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CorpusError, match="cannot be reached"):
        confined(tmp_path / "loop", tmp_path)
    with pytest.raises(CorpusError, match="no such file"):
        confined(tmp_path / "absent", tmp_path)
