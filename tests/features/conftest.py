"""Tiny random models saved as a user would save them, and a tiny corpus of tones."""

import json
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.schema import Corpus, as_utterances, empty_splits
from hbaf.features.contract import tone

__all__ = ["tone", "tone_corpus"]

SPOKEN = [
    "the",
    "a",
    "i",
    "you",
    "am",
    "is",
    "so",
    "happy",
    "sad",
    "very",
    "today",
    "what",
    "do",
    "not",
    "know",
    "good",
]
WORDS = [*SPOKEN, "good", "morning", "!", "xReact", "xEffect", "xIntent", "[GEN]"]


def save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {token: number for number, token in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import RobertaConfig, RobertaModel

    folder = tmp_path_factory.mktemp("roberta")
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=5,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=140,
        pad_token_id=1,
        initializer_range=0.5,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    folder = tmp_path_factory.mktemp("bart")
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=40,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=140,
        init_std=0.5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    model = BartForConditionalGeneration(config)
    # As the published COMET checkpoint: a .bin, which only the weights-only reader may open.
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    save_tokenizer(folder)
    return folder


def save_speech_model(folder: Path, kind: str, norm: str, *, masks: bool, labels: dict[int, str] | None = None) -> Path:
    """A tiny random model whose frames are 320 samples apart and 400 wide, as the published ones'."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=15,
        num_conv_pos_embedding_groups=4,
        initializer_range=0.3,
        **({} if kind == "data2vec-audio" else {"feat_extract_norm": norm}),
    )
    if labels:
        config.id2label, config.classifier_proj_size = labels, 16
    (AutoModelForAudioClassification if labels else AutoModel).from_config(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=masks).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def wav2vec2_group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_speech_model(tmp_path_factory.mktemp("wav2vec2-group"), "wav2vec2", "group", masks=False)


@pytest.fixture(scope="session")
def wav2vec2_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_speech_model(tmp_path_factory.mktemp("wav2vec2-layer"), "wav2vec2", "layer", masks=True)


@pytest.fixture(scope="session")
def wavlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_speech_model(tmp_path_factory.mktemp("wavlm"), "wavlm", "layer", masks=True)


@pytest.fixture(scope="session")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_speech_model(tmp_path_factory.mktemp("hubert"), "hubert", "layer", masks=True)


@pytest.fixture(scope="session")
def data2vec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_speech_model(tmp_path_factory.mktemp("data2vec"), "data2vec-audio", "layer", masks=True)


EMOTIONS = {0: "Joy", 1: "anger", 2: "neutral"}


@pytest.fixture(scope="session")
def text_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the emotions of single sentences, as a hub model is saved."""
    import torch
    from transformers import RobertaConfig, RobertaForSequenceClassification

    folder = tmp_path_factory.mktemp("text-classifier")
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=140, pad_token_id=1, initializer_range=0.5, id2label=EMOTIONS,
    )  # fmt: skip
    RobertaForSequenceClassification(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def speech_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_speech_model(
        tmp_path_factory.mktemp("speech-classifier"), "wav2vec2", "layer", masks=True,
        labels=EMOTIONS,
    )  # fmt: skip


def tone_corpus(root: Path, count: int) -> Corpus:
    """`count` utterances in dialogues of 4, each with a tone and a text of its own."""
    import hashlib

    import soundfile

    rows = []
    for number in range(count):
        path = root / f"{number}.wav"
        soundfile.write(path, tone(100 + number, 0.3 + 0.01 * (number % 7)), 16_000, subtype="PCM_16")
        rows.append(
            {
                "corpus": "tones",
                "dialogue_id": f"d{number // 4:04}",
                "turn": number % 4,
                "speaker": "a",
                "text": f"i am {'so ' * (number % 5)}happy {number}",
                "audio": path.name,
                "emotion": "joy",
                "audio_digest": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        )
    return Corpus("tones", root, as_utterances(pd.DataFrame(rows)), empty_splits())


@pytest.fixture(scope="session")
def vggish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return window_network("vggish", tmp_path_factory.mktemp("vggish"))


@pytest.fixture(scope="session")
def openl3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return window_network("openl3", tmp_path_factory.mktemp("openl3"))


def window_network(name: str, folder: Path) -> Path:
    """A network's shape with made-up weights, as `hbaf models convert` keeps them."""
    import torch
    from safetensors.torch import save_file

    from hbaf.features.audio.window_networks import NETWORKS

    torch.manual_seed(0)
    network = NETWORKS[name].make()
    for bias in (value for called, value in network.named_parameters() if called.endswith("bias")):
        torch.nn.init.uniform_(bias, 0, 0.1)  # so that VGGish's last ReLU leaves something
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": name}))
    return folder
