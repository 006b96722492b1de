"""Fine-tuning: what train utterances are read from knows nothing of their labels, and what comes later knows all.

A tiny random RoBERTa of 40 words; 24 train dialogues of 6 utterances of random words.
"""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, as_utterances
from hbaf.features.columns import extract_features
from hbaf.features.contract import check_extractor
from hbaf.features.cross_fit import extract_cross_fitted, read_cross_fitted
from hbaf.features.extract import extract_column, read_column
from hbaf.features.finetuned import LeakError, adopt, apply_alignment, carry, find_encoder, fit_alignment, open_encoder
from hbaf.features.registry import make_extractor
from hbaf.features.weights import WeightsError
from hbaf.files import published_folder
from hbaf.parameters import FeatureParameters, FineTuneParameters
from hbaf.training.finetuning.examples import FineTuneError
from hbaf.training.finetuning.finetune import EncoderReference, assign_folds, finetune
from hbaf.training.run_log import SilentRunLog

WORDS = [f"w{number}" for number in range(36)]
EMOTIONS = ("joy", "anger")


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=40,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=140,
        pad_token_id=1,
        initializer_range=0.3,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    vocabulary = {token: number for number, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


def spoken_corpus(*, random_labels: bool, dialogues: int = 36, turns: int = 6, seed: int = 0) -> Corpus:
    """Emotion is chance, or whether w0 is among the words. Every dialogue begins with the same line."""
    random = np.random.default_rng(seed)
    rows = []
    for dialogue in range(dialogues):
        for turn in range(turns):
            words = random.choice(WORDS[1:], 8).tolist()
            label = int(random.integers(2))
            if not random_labels and label:
                words[int(random.integers(8))] = "w0"
            text = "w1 w2" if turn == 0 else " ".join(words)
            rows.append({"corpus": "talk", "dialogue_id": f"d{dialogue:02}", "turn": turn, "text": text,
                         "emotion": EMOTIONS[label]})  # fmt: skip
    splits = pd.DataFrame({
        "dialogue_id": [f"d{dialogue:02}" for dialogue in range(dialogues)],
        "split": ["train"] * (dialogues - 12) + ["dev"] * 6 + ["test"] * 6,
    }, dtype="str")  # fmt: skip
    return Corpus("talk", Path("/"), as_utterances(pd.DataFrame(rows)), splits, EMOTIONS)


def settings(folder: Path, **more: Any) -> FineTuneParameters:
    start = {
        "encoder": f"encoder:{folder}",
        "cross_fit": 3,
        "learning_rate": 1e-3,
        "device": "cpu",
        "dropout": 0.0,
        "threads": 1,
    }
    return FineTuneParameters(**{**start, "max_epochs": 2, "batch_size": 16, **more})


def remembered(folder: Path) -> FineTuneParameters:
    """Learns by heart: every epoch, dev or not."""
    return settings(folder, patience=None, max_epochs=40, learning_rate=3e-3, cross_fit=2)


def separable(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    """Accuracy of a linear classifier over dialogues that it has not seen."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    return float(cross_val_score(model, vectors, labels, groups=groups, cv=GroupKFold(4)).mean())


def rows_of(corpus: Corpus, split: Any) -> np.ndarray:
    inside = corpus.utterances["utterance_id"].isin(corpus.in_split(split)["utterance_id"])
    told = corpus.utterances["turn"] > 0
    return np.flatnonzero(inside & told)


@pytest.mark.long
def test_features_of_train_are_out_of_fold(encoder_folder: Path, tmp_path: Path) -> None:
    corpus = spoken_corpus(random_labels=True, dialogues=26)
    encoder = finetune(corpus, remembered(encoder_folder))
    store = FeatureStore(str(tmp_path))
    out_of_fold, present = read_cross_fitted(corpus, extract_cross_fitted(corpus, encoder.name, store), store)
    in_fold, _ = read_column(corpus, extract_column(corpus, encoder.name, store), store)
    assert present.all()
    train = rows_of(corpus, "train")
    labels = (corpus.utterances["emotion"] == "anger").to_numpy(int)[train]
    groups = corpus.utterances["dialogue_id"].to_numpy(object)[train]
    assert separable(in_fold[train], labels, groups) > 0.9  # the trap: labels drawn by chance, learned by heart
    assert separable(out_of_fold[train], labels, groups) < 0.68  # 70 utterances: chance is 0.5 ± 0.06
    later = np.concatenate([rows_of(corpus, "dev"), rows_of(corpus, "test")])
    np.testing.assert_array_equal(out_of_fold[later], in_fold[later])


@pytest.mark.long
def test_what_can_be_learned_reaches_train_dev_and_test_alike(encoder_folder: Path, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    corpus = spoken_corpus(random_labels=False, dialogues=60)
    encoder = finetune(corpus, settings(encoder_folder, max_epochs=12, patience=12))
    assert encoder.dev["weighted_f1"] > 0.8  # one line in six says nothing
    store = FeatureStore(str(tmp_path))
    vectors, _ = read_cross_fitted(corpus, extract_cross_fitted(corpus, encoder.name, store), store)
    frozen, _ = read_column(corpus, extract_column(corpus, f"encoder:{encoder_folder}", store), store)
    labels = (corpus.utterances["emotion"] == "anger").to_numpy(int)
    train, test = rows_of(corpus, "train"), rows_of(corpus, "test")
    scores = [
        LogisticRegression(max_iter=5000).fit(some[train], labels[train]).score(some[test], labels[test])
        for some in (frozen, vectors)
    ]
    # The folds' spaces and that of the whole are one: what is learned on the former holds on the latter.
    assert scores[1] > 0.9
    assert scores[1] > scores[0]


@pytest.fixture(scope="module")
def quick(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, EncoderReference, Path]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("HBAF_HOME", str(home))
        corpus = spoken_corpus(random_labels=False)
        return corpus, finetune(corpus, settings(encoder_folder)), home


@pytest.fixture
def at_home(quick: tuple[Corpus, EncoderReference, Path], monkeypatch: pytest.MonkeyPatch) -> EncoderReference:
    monkeypatch.setenv("HBAF_HOME", str(quick[2]))
    return quick[1]


def test_the_extractor_keeps_the_contract_in_every_part(at_home: EncoderReference) -> None:
    for part in ("full", "fold-2"):
        make = lambda part=part: make_extractor(at_home.name, part=part, device="cpu")  # noqa: E731
        check_extractor(make(), make)
    identities = [str(make_extractor(at_home.name, part=part).identity()) for part in ("full", "fold-0", "fold-1")]
    assert len(set(identities)) == 3
    assert make_extractor(at_home.name).identity()["train"] == find_encoder(at_home.digest).facts["train"]
    with pytest.raises(ValueError, match="no part 'fold-3'; there are: fold-0, fold-1, fold-2, full"):
        make_extractor(at_home.name, part="fold-3")
    with pytest.raises(WeightsError, match=r"0 encoders of that digest .* there are: finetuned:"):
        make_extractor("finetuned:000000")


def test_it_is_made_once_and_depends_on_labels_and_settings(
    quick: tuple[Corpus, EncoderReference, Path], at_home: EncoderReference, encoder_folder: Path
) -> None:
    corpus = quick[0]
    again = finetune(corpus, settings(encoder_folder))
    assert again.reused
    assert again.digest == at_home.digest
    other = corpus.utterances.copy()
    other.loc[0, "emotion"] = "anger" if other.loc[0, "emotion"] == "joy" else "joy"
    changed = finetune(corpus.with_utterances(other), settings(encoder_folder, cross_fit=0, max_epochs=1))
    assert changed.digest != at_home.digest
    assert find_encoder(changed.digest).facts["labels"] != find_encoder(at_home.digest).facts["labels"]
    assert find_encoder(changed.digest).facts["train"] == find_encoder(at_home.digest).facts["train"]


def test_a_killed_one_goes_on_with_the_part_that_it_was_at(encoder_folder: Path, monkeypatch: Any) -> None:
    from hbaf.training.finetuning import finetune as module

    corpus, made = spoken_corpus(random_labels=False), []
    real = module.train_part

    def interrupted(*arguments: Any, name: str, **more: Any) -> Any:
        if name == "fold-1" and made.count("fold-0") == 1 and "fold-1" not in made:
            made.append("fold-1")
            raise KeyboardInterrupt
        made.append(name)
        return real(*arguments, name=name, **more)

    monkeypatch.setattr(module, "train_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetune(corpus, settings(encoder_folder, max_epochs=1))
    whole = finetune(corpus, settings(encoder_folder, max_epochs=1))
    assert made == ["full", "fold-0", "fold-1", "fold-1", "fold-2"]
    assert sorted(find_encoder(whole.digest).facts["parts"]) == ["fold-0", "fold-1", "fold-2", "full"]


def test_dialogues_learned_from_may_not_be_dev_or_test(
    quick: tuple[Corpus, EncoderReference, Path], at_home: EncoderReference, tmp_path: Path
) -> None:
    from dataclasses import replace

    corpus = quick[0]
    moved = corpus.splits.copy()
    moved.loc[0, "split"] = "test"
    with pytest.raises(LeakError, match="on 1 dialogues that are in dev, test or gate now, such as talk/d00"):
        extract_cross_fitted(replace(corpus, splits=moved), at_home.name, FeatureStore(str(tmp_path)))
    folds = find_encoder(at_home.digest).fold_of_rows(corpus)
    train = corpus.utterances["utterance_id"].isin(corpus.in_split("train")["utterance_id"]).to_numpy()
    assert (folds[train] >= 0).all()
    assert (folds[~train] == -1).all()
    per_dialogue = pd.Series(folds).groupby(corpus.utterances["dialogue_id"].to_numpy(object)).nunique()
    assert (per_dialogue == 1).all()


def test_a_package_carries_the_whole_encoder_to_another_machine(
    quick: tuple[Corpus, EncoderReference, Path], at_home: EncoderReference, tmp_path: Path, monkeypatch: Any
) -> None:
    corpus, package = quick[0], tmp_path / "package"
    carry(at_home.name, package)
    carry("minilm", package)  # nothing to carry
    here = make_extractor(at_home.name, device="cpu").extract(["w0 w5 w6"])
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(WeightsError, match="0 encoders"):
        make_extractor(at_home.name)
    adopt(package)
    adopt(package)
    np.testing.assert_array_equal(make_extractor(at_home.name, device="cpu").extract(["w0 w5 w6"]), here)
    # New conversations are scored; training features would need the folds, and nothing takes their place in silence.
    features = FeatureParameters(audio="mfcc", text=at_home.name, device="cpu", workers=1)
    table = corpus.utterances.assign(audio=None, audio_digest=None)
    scored = extract_features(corpus.with_utterances(table), features, out_of_fold=False)
    assert scored.text.folds == ()
    with pytest.raises(WeightsError, match="its part fold-0 is not in"):
        extract_features(corpus.with_utterances(table), features)


def test_many_that_adopt_an_encoder_at_once_leave_it_whole(
    at_home: EncoderReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry(at_home.name, tmp_path / "package")
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "elsewhere"))
    ready, errors = threading.Barrier(6), []

    def published(folder: Path) -> Any:
        ready.wait()  # each has seen that the encoder is not there
        return published_folder(folder)

    def adopted() -> None:
        try:
            adopt(tmp_path / "package")
        except Exception as error:
            errors.append(error)

    monkeypatch.setattr("hbaf.features.finetuned.published_folder", published)
    threads = [threading.Thread(target=adopted) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    folder = tmp_path / "elsewhere" / "encoders"
    assert [path.name for path in folder.iterdir()] == [at_home.digest]
    assert open_encoder(folder / at_home.digest).part("full")


@pytest.mark.parametrize("lost", ["full/model.safetensors", "full", "encoder.json"])
def test_an_encoder_that_lost_files_is_mended_from_the_package(
    at_home: EncoderReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    carry(at_home.name, tmp_path / "package")
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "elsewhere"))
    adopt(tmp_path / "package")
    folder = tmp_path / "elsewhere" / "encoders" / at_home.digest
    (folder / "fold-0").mkdir()  # as if it had been fine-tuned here
    shutil.rmtree(folder / lost) if (folder / lost).is_dir() else (folder / lost).unlink()
    adopt(tmp_path / "package")
    assert open_encoder(folder).part("full")
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "fold-0", "full"]


def test_a_changed_weight_is_found(at_home: EncoderReference, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path))
    folder = tmp_path / "encoders" / at_home.digest
    shutil.copytree(at_home.folder, folder)
    weights = load_file(folder / "full" / "model.safetensors")
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1e-3}, folder / "full" / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match="are not those that were fine-tuned"):
        make_extractor(at_home.name)
    facts = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps({**facts, "folds": []}))
    with pytest.raises(WeightsError, match="was changed after it was written"):
        make_extractor(at_home.name)


def test_alignment_undoes_a_rotation_and_keeps_distances() -> None:
    random = np.random.default_rng(0)
    full = random.normal(size=(50, 6)).astype(np.float32)
    turn, _ = np.linalg.qr(random.normal(size=(6, 6)))
    own = (full @ turn + 3).astype(np.float32)
    alignment = fit_alignment(own[:40], full[:40])
    np.testing.assert_allclose(apply_alignment(own[40:], alignment), full[40:], atol=1e-4)
    own[41, 2] = np.nan
    assert np.isnan(apply_alignment(own[40:], alignment)[1]).all()


def test_folds_are_of_equal_size_and_disjoint() -> None:
    folds = assign_folds([f"d{number % 23}" for number in range(100)], 5, seed=0)
    assert sorted(map(len, folds)) == [4, 4, 5, 5, 5]
    assert len({dialogue for fold in folds for dialogue in fold}) == 23
    assert folds != assign_folds([f"d{number % 23}" for number in range(100)], 5, seed=1)


def test_frozen_layers_stay_and_the_log_hears_every_epoch(encoder_folder: Path) -> None:
    log = SilentRunLog()
    corpus = spoken_corpus(random_labels=False)
    made = finetune(corpus, settings(encoder_folder, cross_fit=0, frozen_layers=1, patience=None), log=log)
    before = load_file(encoder_folder / "model.safetensors")
    after = load_file(made.folder / "full" / "model.safetensors")
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)
    assert [step for step, _ in log.metrics] == [1, 2]
    assert set(log.metrics[0][1]) >= {"full/train_loss", "full/dev_weighted_f1"}


def test_what_cannot_be_fine_tuned_says_why(encoder_folder: Path) -> None:
    from dataclasses import replace

    corpus = spoken_corpus(random_labels=True)
    with pytest.raises(FineTuneError, match="mfcc: cannot be fine-tuned"):
        finetune(corpus, FineTuneParameters(encoder="mfcc"))
    with pytest.raises(FineTuneError, match="99 folds of the train dialogues cannot be made"):
        finetune(corpus, settings(encoder_folder, cross_fit=99))
    with pytest.raises(FineTuneError, match="frozen_layers: 7, but the encoder has 2 layers"):
        finetune(corpus, settings(encoder_folder, frozen_layers=7))
    alone = corpus.splits[corpus.splits["split"] != "dev"]
    with pytest.raises(FineTuneError, match="no labelled utterance in dev"):
        finetune(replace(corpus, splits=alone), settings(encoder_folder))
