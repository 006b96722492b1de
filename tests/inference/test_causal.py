"""Settings that `reads_later_turns` names are those by which a turn's logits change as a conversation goes on."""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from hbaf.inference.causal import CAUSAL, reads_later_turns
from hbaf.model.batch import DialogueBatch
from hbaf.model.label_chain import Chained
from hbaf.parameters import from_recipe
from hbaf.training.package import PackageFacts, build_system

TURNS = 7
CAUSAL_MODEL: dict[str, Any] = {"audio_context": False, "bimodal_attention": False}


def facts_of(model: dict[str, Any], chain: str = "none") -> PackageFacts:
    small = {"dim": 16, "heads": 2, "feedforward": 16, "conv_channels": 8}
    features, settings, training = from_recipe(
        "demo", model={**small, **model}, training={"members": 1, "label_chain": chain}
    )
    return PackageFacts(("joy", "anger", "fear"), 5, 4, None, features, settings, training)


def changes(facts: PackageFacts) -> bool:
    """Whether the logits of any turn differ between the whole conversation and the turns up to it."""
    torch.manual_seed(0)
    system = build_system(facts).eval()
    if isinstance(system, Chained):
        system.chain.own.copy_(torch.randn(3, 3))
        system.chain.other.copy_(torch.randn(3, 3))
        system.chain.exponents.copy_(torch.ones(3))
    whole = DialogueBatch(
        audio=torch.randn(1, TURNS, 5),
        text=torch.randn(1, TURNS, 4),
        commonsense=None,
        mask=torch.ones(1, TURNS, dtype=torch.bool),
        has_audio=torch.tensor([[True, False, True, True, True, False, True]]),
        has_text=torch.tensor([[True, True, False, True, True, True, True]]),
        speaker=torch.tensor([[0, 1, 0, 1, 1, 0, 1]]),
        label=torch.full((1, TURNS), -1),
    )
    with torch.inference_mode():
        at_once = system(whole).logits
        differences = [
            (system(up_to(whole, turn)).logits[:, -1] - at_once[:, turn - 1]).abs().max() for turn in range(1, TURNS)
        ]
    return bool(max(differences) > 1e-5)


def up_to(batch: DialogueBatch, turns: int) -> DialogueBatch:
    parts = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{name: None if part is None else part[:, :turns] for name, part in parts.items()})


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"text_direction": "both"},
        {"audio_context": True},
        {"bimodal_attention": True},
        {"bimodal_attention": True, "fusion": False},
        {"variant": "text"},
        {"variant": "text", "audio_context": True},
        {"variant": "text", "bimodal_attention": True},
        {"variant": "text", "text_direction": "both"},
        {"variant": "audio"},
        {"variant": "audio", "text_direction": "both"},
        {"variant": "audio", "audio_context": True},
        {"split_context": True, "speaker_embedding": True, "own_path": "both"},
        {"context_attention": "scalar", "current_utterance": False},
        {"context_attention": "elementwise", "pre_norm": True},
        {"gate": False, "residual": False, "experts": False},
    ],
    ids=lambda model: ",".join(f"{name}={value}" for name, value in model.items()) or "causal",
)
def test_what_is_named_is_what_changes(model: dict[str, Any]) -> None:
    facts = facts_of({**CAUSAL_MODEL, **model})
    assert changes(facts) == bool(reads_later_turns(facts))


@pytest.mark.parametrize("chain", ["none", "causal", "both"])
def test_of_label_chains_the_one_that_uses_all_turns(chain: str) -> None:
    facts = facts_of(CAUSAL_MODEL, chain)
    assert changes(facts) == bool(reads_later_turns(facts)) == (chain == "both")


def test_the_advice_makes_a_causal_model() -> None:
    stages: dict[str, dict[str, Any]] = {"features": {}, "model": {}, "training": {}}
    for setting in CAUSAL:
        name, _, value = setting.partition("=")
        stage, _, field = name.partition(".")
        stages[stage][field] = value == "true" if value in ("true", "false") else value
    for recipe in ("paper", "demo", "best"):
        features, model, training = from_recipe(recipe, **stages)
        assert reads_later_turns(PackageFacts(("joy",), 5, 4, None, features, model, training)) == ()
