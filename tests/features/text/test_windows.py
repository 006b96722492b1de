"""A text encoder that reads the turns before: layout, truncation, causality, and no stale vector."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, as_utterances, empty_splits
from hbaf.corpus.windows import Window
from hbaf.features.extract import extract_column, read_column
from hbaf.features.extractor import extractor_digest
from hbaf.features.text.language_models import LanguageModel

SAID = ["i am so happy", "what", "you do not know", "good morning"]


def encoder(folder: Path, **settings: object) -> LanguageModel:
    return LanguageModel("encoder", model=str(folder), device="cpu", **settings)  # type: ignore[arg-type]


def talk(said: list[str], speakers: str = "abab") -> Corpus:
    rows = [
        {"corpus": "c", "dialogue_id": "d", "turn": turn, "speaker": speakers[turn], "text": text}
        for turn, text in enumerate(said)
    ]
    return Corpus("c", Path("/"), as_utterances(pd.DataFrame(rows)), empty_splits())


def vectors(corpus: Corpus, folder: Path, store: FeatureStore, context: int = 2) -> np.ndarray:
    reference = extract_column(corpus, f"encoder:{folder}", store, settings={"context": context}, device="cpu")
    return read_column(corpus, reference, store)[0]


def test_the_layout_and_what_is_cut(roberta: Path) -> None:
    window = Window(("B: i am", "A: so happy"), "what do you know")
    # <s> B: i am </s> A: so happy </s> A: what do you know </s>; the tiny tokenizer knows no marks, so they are <unk>
    whole = ["<s>", "<unk>", "i", "am", "</s>", "<unk>", "so", "happy", "</s>",
             "<unk>", "what", "do", "you", "know", "</s>"]  # fmt: skip
    for length, cut in ((20, 0), (15, 0), (13, 2), (9, 6), (8, 7)):
        model = encoder(roberta, context=2, max_length=length)
        (ids,), (start,) = model.tokenize([window])
        expected = ["<s>", *whole[1 + cut :]]
        assert model._tokenizer.convert_ids_to_tokens(ids) == expected[:length]
        assert model._tokenizer.convert_ids_to_tokens(ids)[start:] == whole[9:]
    (ids,), (start,) = encoder(roberta, context=2, max_length=8).tokenize([Window(("B: i am",), "so " * 30)])
    assert (len(ids), start) == (8, 1)  # a long turn is cut at its own end, and leaves no room for others


def test_the_vector_is_the_mean_over_the_turn_itself(roberta: Path) -> None:
    import torch
    from transformers import RobertaModel

    extractor = encoder(roberta, context=1)
    items = [Window(("B: what",), "so happy"), Window(("B: you do not know what is so sad",), "good morning !")]
    (ids, _), (start, _) = extractor.tokenize(items)
    model = RobertaModel.from_pretrained(roberta, add_pooling_layer=False).eval()
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    np.testing.assert_allclose(extractor.extract(items)[0], states[start:].mean(0).numpy(), atol=1e-5)


def test_an_earlier_turn_changes_the_vector_and_a_later_one_does_not(roberta: Path, tmp_path: Path) -> None:
    store = FeatureStore(str(tmp_path))
    before = vectors(talk(SAID), roberta, store)
    changed = vectors(talk(["i am so sad", *SAID[1:]]), roberta, store)
    moved = np.abs(before - changed).max(1) > 1e-4
    assert moved.tolist() == [True, True, True, False]  # the last one reads two turns before it
    later = vectors(talk([*SAID[:3], "very good"]), roberta, store)
    np.testing.assert_array_equal(before[:3], later[:3])
    cut_off = talk(SAID[:3])
    np.testing.assert_allclose(vectors(cut_off, roberta, FeatureStore(str(tmp_path / "new"))), before[:3], atol=1e-5)


def test_columns_of_other_contexts_are_other_columns(roberta: Path, tmp_path: Path) -> None:
    store = FeatureStore(str(tmp_path))
    found = [vectors(talk(SAID), roberta, store, context) for context in (0, 1, 2)]
    assert len({info.digest for info in store.list()}) == 3
    assert {info.identity.get("context", 0) for info in store.list()} == {0, 1, 2}
    assert not np.allclose(found[0], found[1])
    np.testing.assert_allclose(found[1][:2], found[2][:2], atol=1e-5)
    assert not np.allclose(found[1][2:], found[2][2:])
    assert extractor_digest(encoder(roberta, context=0)) == extractor_digest(encoder(roberta))
    with pytest.raises(ValueError, match="context must be 0 to 20 turns, not 21"):
        encoder(roberta, context=21)


def test_a_blank_turn_has_no_vector_whatever_came_before(roberta: Path, tmp_path: Path) -> None:
    store = FeatureStore(str(tmp_path))
    found = vectors(talk([*SAID[:2], " ", SAID[3]]), roberta, store)
    assert np.isnan(found).any(1).tolist() == [False, False, True, False]
