"""Whisper by transformers: the weights of tiny.en, put back into its form, hear what faster-whisper hears with them."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch

from hbaf.corpus.sound.audio import load_audio
from hbaf.features.weights import WeightsError
from hbaf.parameters import WordsParameters
from hbaf.transcription.engine import TranscriptionError
from hbaf.transcription.engines import make_engine
from hbaf.transcription.models import locate_model
from hbaf.transcription.transcribe import transcribe_folder
from tests.transcription.conftest import WORDS, Spoken
from tests.transcription.speech import errors

HALF = 4  # dtype of CTranslate2's files


def arrays(file: BinaryIO) -> Iterator[tuple[str, np.ndarray]]:
    """What a model.bin of CTranslate2 holds in float16, by name."""

    def numbers(form: str) -> tuple[int, ...]:
        return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))

    def text() -> str:
        return file.read(numbers("H")[0])[:-1].decode()

    numbers("I"), text(), numbers("I")
    for _ in range(numbers("I")[0]):
        name = text()
        shape = numbers("I" * numbers("B")[0])
        kind, size = numbers("B")[0], numbers("I")[0]
        content = file.read(size)
        if kind == HALF:
            yield name, np.frombuffer(content, np.float16).reshape(shape).astype(np.float32)


def renamed(found: dict[str, np.ndarray], layers: int) -> Iterator[tuple[str, np.ndarray]]:
    """CTranslate2's names and joined matrices -> those of transformers."""

    def layer(theirs: str, ours: str, attention: str) -> Iterator[tuple[str, np.ndarray]]:
        part = f"{theirs}/{attention}"
        name = "encoder_attn" if attention == "attention" else "self_attn"
        for kind in ("weight", "bias"):
            joined = [found[f"{part}/linear_0/{kind}"]]
            if attention == "attention":
                joined.append(found[f"{part}/linear_1/{kind}"])
            for letter, one in zip("qkv", np.split(np.concatenate(joined), 3), strict=True):
                if not (letter == "k" and kind == "bias"):  # Whisper's keys have none
                    yield f"{ours}.{name}.{letter}_proj.{kind}", one
            out = "linear_2" if attention == "attention" else "linear_1"
            yield f"{ours}.{name}.out_proj.{kind}", found[f"{part}/{out}/{kind}"]
        yield from norm(f"{part}/layer_norm", f"{ours}.{name}_layer_norm")

    def norm(theirs: str, ours: str) -> Iterator[tuple[str, np.ndarray]]:
        yield f"{ours}.weight", found[f"{theirs}/gamma"]
        yield f"{ours}.bias", found[f"{theirs}/beta"]

    for side in ("encoder", "decoder"):
        for number in range(layers):
            theirs, ours = f"{side}/layer_{number}", f"model.{side}.layers.{number}"
            for attention in ("self_attention", "attention")[: 1 if side == "encoder" else 2]:
                yield from layer(theirs, ours, attention)
            for at, name in enumerate(("fc1", "fc2")):
                for kind in ("weight", "bias"):
                    yield f"{ours}.{name}.{kind}", found[f"{theirs}/ffn/linear_{at}/{kind}"]
            yield from norm(f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")
        yield from norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        yield f"model.{side}.embed_positions.weight", found[f"{side}/position_encodings/encodings"]
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            yield f"model.encoder.{conv}.{kind}", found[f"encoder/{conv}/{kind}"]
    yield "model.decoder.embed_tokens.weight", found["decoder/embeddings/weight"]


@pytest.fixture(scope="session")
def tiny(engine_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whisper tiny.en as `save_pretrained` writes it."""
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperProcessor
    from transformers import WhisperForConditionalGeneration as Whisper
    from transformers import WhisperTokenizerFast as Tokenizer

    source, folder = locate_model(WORDS).folder, tmp_path_factory.mktemp("tiny")
    config = WhisperConfig(
        vocab_size=51_864, d_model=384, encoder_layers=4, decoder_layers=4, encoder_attention_heads=6,
        decoder_attention_heads=6, encoder_ffn_dim=1536, decoder_ffn_dim=1536, bos_token_id=50_256,
        eos_token_id=50_256, pad_token_id=50_256, decoder_start_token_id=50_257,
    )  # fmt: skip
    model = Whisper(config)
    with (source / "model.bin").open("rb") as file:
        weights = dict(renamed(dict(arrays(file)), 4))
    left = model.load_state_dict(
        {name: torch.from_numpy(value.copy()) for name, value in weights.items()}, strict=False
    )
    assert left.unexpected_keys == []
    assert left.missing_keys == ["proj_out.weight"], "which is the embedding"
    model.tie_weights()
    given = json.loads((source / "config.json").read_text())
    model.generation_config = GenerationConfig(
        alignment_heads=given["alignment_heads"], is_multilingual=False, no_timestamps_token_id=50_362,
        suppress_tokens=given["suppress_ids"], begin_suppress_tokens=given["suppress_ids_begin"], max_length=448,
        bos_token_id=50_256, eos_token_id=50_256, pad_token_id=50_256, decoder_start_token_id=50_257,
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer = Tokenizer(tokenizer_file=str(source / "tokenizer.json"))
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def with_transformers(folder: Path) -> WordsParameters:
    return WORDS.model_copy(update={"engine": "transformers", "model": str(folder)})


def test_both_engines_hear_the_same_words_at_the_same_times(tiny: Path, calls: Spoken) -> None:
    samples = load_audio(calls.folder / "call1.wav", channel=0)[: 20 * 16_000]
    engine = make_engine(with_transformers(tiny))
    ours, language = engine.words(samples, None)
    theirs, _ = make_engine(WORDS.model_copy(update={"precision": "float32"})).words(samples, "en")
    assert language == "en"
    wrong, words = errors(" ".join(word.text for word in theirs), " ".join(word.text for word in ours))
    print(f"{wrong} of {words} words differ")
    assert words > 10
    assert wrong / words < 0.1
    shared = {word.text.strip(): word for word in theirs}
    apart = [abs(word.start - shared[word.text.strip()].start) for word in ours if word.text.strip() in shared]
    assert np.median(apart) < 0.1
    assert (engine.name, engine.model, len(engine.revision)) == ("transformers", "folder", 64)


def test_a_folder_is_transcribed_with_it(tiny: Path, calls: Spoken, tmp_path: Path) -> None:
    (tmp_path / "call1.wav").write_bytes((calls.folder / "call1.wav").read_bytes())
    done = transcribe_folder(tmp_path, with_transformers(tiny))
    assert [one.state for one in done.outcomes] == ["made"], done.problems
    written = json.loads((tmp_path / "call1.json").read_text())
    truth = " ".join(line.text for line in calls.truth["call1"])
    wrong, words = errors(truth, " ".join(one["text"] for one in written["segments"]))
    print(f"transformers: word error rate {wrong / words:.3f} of {words} words")
    assert wrong / words < 0.25


def test_what_it_cannot_do_is_said(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="hbaf models fetch whisper:openai/whisper-small"):
        make_engine(WORDS.model_copy(update={"engine": "transformers"}))
    with pytest.raises(TranscriptionError, match="knows en alone"):
        make_engine(with_transformers(tiny).model_copy(update={"language": "de"}))
    with pytest.raises(TranscriptionError, match="float32"):
        make_engine(with_transformers(tiny).model_copy(update={"precision": "int8"}))
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    del settings["alignment_heads"]
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    with pytest.raises(TranscriptionError, match="no `alignment_heads`"):
        make_engine(with_transformers(tmp_path))
