"""One reader per source, by name."""

from collections.abc import Callable

from hbaf.corpus.audformat_database import read_audformat
from hbaf.corpus.folder import read_folder
from hbaf.corpus.iemocap import read_iemocap
from hbaf.corpus.meld import read_meld
from hbaf.corpus.schema import Corpus
from hbaf.parameters import CorpusParameters


def _read_example(parameters: CorpusParameters) -> Corpus:
    from hbaf.corpus.example import read_example

    return read_example(parameters)


READERS: dict[str, Callable[[CorpusParameters], Corpus]] = {
    "example": _read_example,
    "folder": read_folder,
    "meld": read_meld,
    "iemocap": read_iemocap,
    "audformat": read_audformat,
}


def read_corpus(parameters: CorpusParameters) -> Corpus:
    """Reads the corpus that the parameters name; nothing is decoded and no split is assigned.

    Raises:
        CorpusError: the folder or its manifest cannot be used; the message says which rule and the next step.
    """
    return READERS[parameters.reader](parameters)
