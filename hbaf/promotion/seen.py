"""Which dialogues a model has learned from, as far as this home knows."""

from hbaf.corpus.schema import Corpus, CorpusError, load_corpus
from hbaf.home import directory
from hbaf.training.package import PackageFacts


def dialogues_learned_from(facts: PackageFacts, corpus: Corpus) -> frozenset[str] | None:
    """Dialogues of a corpus that were in train or dev when the model was trained.

    Returns:
        None where that cannot be known: an older version of the corpus, or other splits, that are not in this home.
    """
    origin = facts.origin
    if origin.get("corpus") != corpus.name:
        return frozenset()
    splits_digest = str(origin.get("splits_digest", ""))
    if splits_digest == corpus.splits_digest():
        splits = corpus.splits
    else:
        name = f"{corpus.name}-{str(origin.get('corpus_digest', ''))[:12]}-{splits_digest[:8]}"
        try:
            splits = load_corpus(directory("corpora") / name).splits
        except (CorpusError, OSError):
            return None
    return frozenset(splits.loc[splits["split"].isin(["train", "dev"]), "dialogue_id"])
