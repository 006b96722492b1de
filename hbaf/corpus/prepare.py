"""Source -> a saved corpus in the home: read, split, measured. What every later stage starts from."""

from hbaf.corpus.read import read_corpus
from hbaf.corpus.schema import Corpus, CorpusReference, save_corpus
from hbaf.corpus.sound.facts import add_facts
from hbaf.corpus.splits import assign_splits
from hbaf.home import directory
from hbaf.parameters import CorpusParameters
from hbaf.waiting import alone


def prepare_corpus(
    parameters: CorpusParameters,
    *,
    split: bool = True,
    annotated: bool = True,
    workers: int | None = None,
    progress: bool = False,
) -> CorpusReference:
    """Reads a corpus, measures its audio once and saves the tables in the home.

    Args:
        split: assign dialogues to train, dev, test and gate where the source does not; False for one only scored.
        annotated: with the labels that people gave it (`hbaf label`), beside those of the source.
        workers: processes that decode audio; default one per core.

    Raises:
        CorpusError: the source's structure is broken, or more rows than `bad_share` are.
    """
    corpus = read_corpus(parameters, annotated=annotated)
    if split:
        corpus = split_corpus(corpus, parameters)
    return save(add_facts(corpus, limits=parameters.limits, workers=workers, progress=progress))


def split_corpus(corpus: Corpus, parameters: CorpusParameters) -> Corpus:
    """The corpus with the splits that the parameters ask for.

    Raises:
        CorpusError: they cannot be had; see `assign_splits`.
    """
    return assign_splits(
        corpus,
        parameters.split_shares,
        parameters.seed,
        parameters.gate_share,
        by=parameters.split_by,
        stratify=parameters.stratify,
    )


def save(corpus: Corpus) -> CorpusReference:
    """Saves under a folder named by content, so that two versions of a corpus never mix."""
    folder = directory("corpora", f"{corpus.name}-{corpus.digest()[:12]}-{corpus.splits_digest()[:8]}")
    # The content is equal, but not the place it was read from: tables and corpus.json must come from one writer.
    with alone(folder / ".lock"):
        return save_corpus(corpus, folder)
