"""Plain utterance rows -> predictions: for callers that hold a table, not a corpus."""

from pathlib import Path

import pandas as pd

from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, as_utterances, empty_splits, utterance_id
from hbaf.corpus.sound.facts import add_facts
from hbaf.features.columns import check_identities, extract_features
from hbaf.inference.predictor import Predictor
from hbaf.training.data import read_vectors


def predict_rows(predictor: Predictor, rows: pd.DataFrame, *, store: str) -> pd.DataFrame:
    """Predictions in the order of the rows.

    Args:
        rows: `dialogue_id`, `turn` and at least one of `text` and `audio` (absolute path of a file); `speaker`,
            `channel`, `start` and `end` (seconds) are optional.
        store: where the features go, a folder or URL.
    """
    table = rows.copy()
    table["corpus"] = "rows"
    table["dialogue_id"] = table["dialogue_id"].astype(str)
    for modality in ("text", "audio"):
        if modality not in table:
            table[modality] = None
        # A missing value may come as None, NaN or an empty string, depending on who sends the table.
        table[modality] = table[modality].where(table[modality].notna() & (table[modality] != ""), None)
        table[f"{modality}_problem"] = table[modality].isna().map({True: f"no {modality}", False: None})
    utterances = as_utterances(table)
    corpus = add_facts(Corpus("rows", Path("/"), utterances, empty_splits()), workers=1)
    facts = predictor.package.facts
    check_identities(facts.features, facts.extractors)
    columns = extract_features(corpus, facts.features, FeatureStore(store), out_of_fold=False)
    predicted = predictor.predict(corpus, read_vectors(corpus, columns)).set_index("utterance_id")
    asked = [utterance_id("rows", str(d), t) for d, t in zip(table["dialogue_id"], table["turn"], strict=True)]
    return predicted.loc[asked].reset_index()
