"""Corpora made from published features (`hbaf import`), kept under their name in the home."""

import hashlib
from dataclasses import replace

import pandas as pd

from hbaf.corpus.readers.folder import safe_name
from hbaf.corpus.schema import Corpus, CorpusError, CorpusReference, load_corpus, save_corpus
from hbaf.home import directory, home_folder
from hbaf.parameters import CorpusParameters


def save_imported(corpus: Corpus) -> CorpusReference:
    """Keeps a corpus as `imported/<name>`; one of the same name is replaced."""
    return save_corpus(corpus, directory("imported", safe_name(corpus.name)))


def read_imported(parameters: CorpusParameters) -> Corpus:
    """Reads what `save_imported` kept.

    Raises:
        CorpusError: nothing was imported under that name.
    """
    folder = home_folder() / "imported" / safe_name(parameters.name or "")
    if parameters.name is None or not (folder / "corpus.json").is_file():
        known = ", ".join(_imported_names()) or "nothing yet"
        raise CorpusError(
            f"imported/{parameters.name or ''}: nothing was imported under that name; there is: {known}. "
            "Import the file first: `hbaf import FILE --like ...`."
        )
    return load_corpus(folder)


def _imported_names() -> list[str]:
    return sorted(path.parent.name for path in (home_folder() / "imported").glob("*/corpus.json"))


def with_dev(corpus: Corpus, share: float, seed: int) -> Corpus:
    """Moves whole train dialogues to dev where the file names a train, a test and no dev split (MMGCN, SDT).

    Each dialogue's place depends on its own id and the seed only.

    Args:
        share: of the train dialogues, 0..1; at least one is taken.
    """
    named = set(corpus.splits["split"])
    if "train" not in named or "dev" in named:
        return corpus
    train = corpus.splits.loc[corpus.splits["split"] == "train", "dialogue_id"].astype(str).tolist()
    places = sorted(train, key=lambda dialogue: hashlib.sha256(f"{seed}:{dialogue}".encode()).digest())
    dev = set(places[: max(1, round(share * len(train)))]) if len(train) > 1 else set()
    split = corpus.splits["split"].where(~corpus.splits["dialogue_id"].isin(dev), "dev")
    splits = pd.DataFrame({"dialogue_id": corpus.splits["dialogue_id"], "split": split}, dtype="str")
    return replace(corpus, splits=splits)
