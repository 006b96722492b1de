"""What people are shown of the model is what its logits went through."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hbaf.inference.predictor import _attention, _looked_at
from hbaf.inference.reading import read
from hbaf.model.build import build_hbaf
from hbaf.model.hbaf import HBAF
from hbaf.parameters import ModelParameters
from hbaf.training.data import Dialogue, collate

EMOTIONS = ("a", "b", "c")


@pytest.fixture
def system() -> HBAF:
    torch.manual_seed(0)
    narrow = ModelParameters(dim=8, heads=2, encoder_layers=1, feedforward=8, conv_channels=4, fusion_heads=2)
    return build_hbaf(narrow, audio_dim=3, text_dim=4, commonsense_dim=None, emotions=3).eval()


@pytest.fixture
def dialogue() -> Dialogue:
    random = np.random.default_rng(0)
    return Dialogue(
        dialogue_id="d",
        utterance_ids=tuple(f"c/d/{turn}" for turn in range(4)),
        audio=random.normal(size=(4, 3)).astype(np.float32),
        text=random.normal(size=(4, 4)).astype(np.float32),
        commonsense=None,
        has_audio=np.array([True, True, False, True]),
        has_text=np.array([True, True, True, False]),
        speaker=np.array([0, 1, 0, 1]),
        label=np.array([0, 1, -1, 2]),
    )


def test_gates_and_maps_are_those_of_the_pass_that_gave_the_logits(system: HBAF, dialogue: Dialogue) -> None:
    """Hooks catch what the layers themselves produced in the first of the three passes."""
    caught: dict[str, torch.Tensor] = {}
    fusion = system.fusion
    passes = []

    def catch(module, inputs, output) -> None:
        for name, layer in (("gate_audio", fusion.gate_audio), ("gate_text", fusion.gate_text)):
            if module is layer:
                caught.setdefault(name, output[1])
        if module is fusion.attention:
            for name, weights in output[1].items():
                caught.setdefault(name, weights)
        if module is system:
            passes.append(output)

    for module in (system, fusion.attention, fusion.gate_audio, fusion.gate_text):
        module.register_forward_hook(catch)
    reading = read(system, dialogue, EMOTIONS)

    assert len(passes) == 3  # both modalities, audio alone, text alone; nothing is run again for the views
    for name in ("audio", "text"):
        assert np.array_equal(reading.gates[name], caught[f"gate_{name}"][0].numpy().mean(-1))
    for name in ("audio", "text", "audio_to_text", "text_to_audio"):
        assert np.array_equal(reading.attention[name], caught[name][0].numpy().mean(0))
        assert reading.attention[name].shape == (4, 4)
    labels = passes[0].logits[0].argmax(-1).tolist()
    assert reading.both == tuple(EMOTIONS[label] for label in labels)


def test_a_gate_that_is_shut_is_shown_shut(system: HBAF, dialogue: Dialogue) -> None:
    open_gate = read(system, dialogue, EMOTIONS).gates["audio"]
    with torch.no_grad():
        system.fusion.gate_audio.W_s.bias.fill_(-1e4)
    shut = read(system, dialogue, EMOTIONS).gates["audio"]
    assert (shut == 0).all()
    assert (open_gate > 0).all()


def test_what_is_missing_says_nothing_and_is_not_looked_at(system: HBAF, dialogue: Dialogue) -> None:
    reading = read(system, dialogue, EMOTIONS)
    assert reading.audio[2] is None
    assert reading.text[3] is None
    assert None not in reading.both
    assert reading.truth == ("a", "b", None, "c")
    assert (reading.attention["text_to_audio"][:, 2] == 0).all()
    assert (reading.attention["audio_to_text"][:, 3] == 0).all()
    np.testing.assert_allclose(reading.attention["audio"].sum(1), 1, rtol=1e-5)


def test_a_prediction_names_the_turns_it_looked_at_most(system: HBAF, dialogue: Dialogue) -> None:
    """The shares are those of the maps, by turn; neither the turn itself nor what is too little is named."""
    renumbered = replace(dialogue, utterance_ids=tuple(f"c/e/{turn}" for turn in (7, 9, 10, 12)))
    batch = collate([dialogue, renumbered])
    with torch.inference_mode():
        shares = _attention(system(batch))
    assert shares is not None
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-5)
    maps = read(system, dialogue, EMOTIONS).attention
    expected = sum(maps.values()) / sum(maps.values()).sum(1, keepdims=True)
    np.testing.assert_allclose(shares[0], expected, atol=1e-5)
    for row, told in enumerate(_looked_at(shares[0], dialogue, 2)):
        looked = json.loads(told)
        assert 1 <= len(looked) <= 2
        assert str(row) not in looked
        assert list(looked.values()) == sorted(looked.values(), reverse=True)
        for turn, share in looked.items():
            assert share == pytest.approx(expected[row, int(turn)], abs=1e-3)
    assert {turn for told in _looked_at(shares[1], renumbered, 3) for turn in json.loads(told)} <= {
        "7",
        "9",
        "10",
        "12",
    }
