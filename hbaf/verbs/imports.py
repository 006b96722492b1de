"""The verb about published features."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hbaf.corpus.published.load import Like
from hbaf.verbs.options import AS_IS, CorpusOptions


def import_(
    file: Path,
    *,
    like: Like,
    name: str | None = None,
    for_: Annotated[str | None, Parameter(name="--for")] = None,
    emotions: str | None = None,
    dev_share: float = 0.1,
    seed: int = 0,
    options: CorpusOptions = AS_IS,
) -> int:
    r"""Imports published features: as a new corpus, or with `--for` as feature columns of an existing one.

    Pickle files are read without running any code in them.

    Try:

        hbaf import IEMOCAP_features.pkl --like sdt --name iemocap-sdt

        hbaf train imported/iemocap-sdt --set features.audio=imported:iemocap-sdt/audio \
            --set features.text=imported:iemocap-sdt/roberta

        hbaf import praat8.npz --like npz --for ~/MELD.Raw

    Args:
        file: Pickle, npz or Parquet file.
        like: Layout of the file: the publication or format that it follows.
        name: Name of the corpus and its columns; default: the file's name.
        for_: Existing corpus (a SOURCE) whose utterances get the columns; no new corpus is made.
        emotions: Emotion names in the order of the label numbers, comma-separated; not needed for IEMOCAP and MELD.
        dev_share: Share of the train dialogues (0..1) moved to dev where the file has no dev split.
        seed: Random seed of that choice.
    """
    from hbaf import pipeline
    from hbaf.corpus.published.load import load_published
    from hbaf.corpus.readers.folder import safe_name
    from hbaf.corpus.readers.imported import save_imported, with_dev
    from hbaf.features.columns import default_store
    from hbaf.features.imported.columns import import_features

    stages = ("corpus", "features")
    store = default_store(options.of("features", stages).get("store"))
    called = safe_name(name or file.stem)
    labels = [label.strip() for label in emotions.split(",")] if emotions else []
    if for_ is None:
        # The corpus takes the name; with `--for` the file's own ids name the utterances of the corpus that is there.
        published = load_published(file, like, name=called, emotions=labels)
        corpus = with_dev(published.corpus(), dev_share, seed)
        save_imported(corpus)
        print(f"imported/{called}: {len(corpus.utterances)} utterances, {sizes(corpus.splits['split'].tolist())}")
    else:
        corpus = pipeline.prepare(options.corpus(for_, stages), progress=options.progress).corpus
        published = load_published(file, like, emotions=labels)
    for column in import_features(published, corpus, store, called):
        print(f"{column.name:32} {column.dim:6} numbers, {column.utterances} of {len(corpus.utterances)} utterances")
    return 0


def sizes(splits: list[str]) -> str:
    """`train 100, dev 12, test 30 dialogues`, or that there are none."""
    if not splits:
        return "no splits: they are assigned when the corpus is read"
    return ", ".join(f"{split} {splits.count(split)}" for split in ("train", "dev", "test")) + " dialogues"
