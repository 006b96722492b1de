"""One reader per source, by name or by what lies in the folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hbaf.corpus.annotations import with_annotations
from hbaf.corpus.labels import LabelMap, with_labels
from hbaf.corpus.readers.audformat_database import read_audformat
from hbaf.corpus.readers.folder import read_folder
from hbaf.corpus.readers.iemocap import SESSIONS, read_iemocap
from hbaf.corpus.readers.imported import read_imported
from hbaf.corpus.readers.meld import read_meld
from hbaf.corpus.schema import SPLITS, Corpus, CorpusError
from hbaf.parameters import CorpusParameters

DEPTH = 3  # folders between the root and the official files: releases are unpacked into folders of their own


def _read_example(parameters: CorpusParameters) -> Corpus:
    from hbaf.corpus.example.conversations import read_example

    return read_example(parameters)


def _mapped(read: Callable[[CorpusParameters], Corpus]) -> Callable[[CorpusParameters], Corpus]:
    """A reader whose labels are known beforehand, with `corpus.labels` after it; the others map as they read."""

    def reader(parameters: CorpusParameters) -> Corpus:
        labels = LabelMap(parameters)
        return with_labels(read(parameters), labels) if labels.targets else read(parameters)

    return reader


READERS: dict[str, Callable[[CorpusParameters], Corpus]] = {
    "example": _mapped(_read_example),
    "folder": read_folder,
    "meld": read_meld,
    "iemocap": _mapped(read_iemocap),
    "audformat": read_audformat,
    "imported": _mapped(read_imported),
}


def parameters_of(source: str | Path, changes: Mapping[str, Any] | None = None) -> CorpusParameters:
    """What a source means: `example`, `imported/NAME`, a folder, or a manifest in one.

    Args:
        changes: of the corpus parameters, over what the source says.
    """
    path, named = Path(source).expanduser(), str(source)
    if named == "example":
        start: dict[str, Any] = {"reader": "example"}
    elif named.startswith("imported/"):
        start = {"reader": "imported", "name": named.removeprefix("imported/")}
    elif path.is_file() and (changes or {}).get("manifest") is None:
        start = {"reader": "auto", "root": path.parent, "manifest": path.name}
    else:
        start = {"reader": "auto", "root": path}
    return CorpusParameters(**{**start, **(changes or {})})


def read_corpus(parameters: CorpusParameters, *, annotated: bool = True) -> Corpus:
    """Reads the corpus that the parameters name; nothing is decoded and no split is assigned.

    Args:
        annotated: with the labels that people gave it (`hbaf label`), beside those of the source.

    Raises:
        CorpusError: the folder or its manifest cannot be used; the message says which rule and the next step.
    """
    corpus = _read_source(parameters)
    return with_annotations(corpus, parameters) if annotated else corpus


def _read_source(parameters: CorpusParameters) -> Corpus:
    if parameters.reader != "auto":
        return READERS[parameters.reader](parameters)
    if parameters.root is None:
        raise CorpusError("the reader `auto` needs a root: the folder to look at. Without one, name a reader.")
    return READERS[recognise(parameters.root, parameters.manifest)](parameters)


def recognise(root: Path, manifest: str | None = None) -> str:
    """The name of the reader that a folder's content asks for: `meld`, `iemocap`, `audformat` or else `folder`.

    Args:
        manifest: a file that the user named; only a db.yaml among them is none of `folder`.

    Raises:
        CorpusError: there is no such folder.
    """
    root = root.expanduser()
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder. Give one with a manifest or an unpacked release, or `example`.")
    if manifest is not None:
        return "audformat" if Path(manifest).suffix in (".yaml", ".yml") else "folder"
    if all(_lies_below(root, f"{split}_sent_emo.csv") for split in SPLITS):
        return "meld"
    if any(_lies_below(root, f"Session{number}/dialog") for number in SESSIONS):
        return "iemocap"
    return "audformat" if (root / "db.yaml").is_file() else "folder"


def _lies_below(root: Path, name: str) -> bool:
    return any(next(root.glob("*/" * depth + name), None) is not None for depth in range(DEPTH))
