"""Properties of the whole model, over every variant and every decision."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save

from hbaf.model.batch import UNLABELLED
from hbaf.model.build import build_hbaf
from hbaf.model.hbaf import drop_modality
from hbaf.parameters import ModelParameters

PAPERS_SUM = 110.66066805822629

DECISIONS = {
    "default": {},
    "no commonsense": {"commonsense_dim": None},
    "audio": {"variant": "audio"},
    "audio without context": {"variant": "audio", "audio_context": False},
    "text": {"variant": "text"},
    "text without fusion": {"variant": "text", "fusion": False},
    "no audio context": {"audio_context": False},
    "as printed": {"current_utterance": False},
    "as printed, elementwise": {"current_utterance": False, "context_attention": "elementwise"},
    "scalar": {"context_attention": "scalar"},
    "elementwise": {"context_attention": "elementwise"},
    "crossed": {"cross_direction": "crossed"},
    "prose": {"anchor": "prose"},
    "zero_pad": {"fused_view": "zero_pad"},
    "tile": {"fused_view": "tile"},
    "no fusion": {"fusion": False},
    "no bimodal attention": {"bimodal_attention": False},
    "no gate": {"gate": False},
    "no residual": {"residual": False},
    "no contrast": {"mu": 0.0},
    "four fusion heads": {"fusion_heads": 4},
    "normalised before": {"pre_norm": True},
    "normalised before, audio": {"variant": "audio", "pre_norm": True},
    "speakers": {"speaker_embedding": True},
    "symmetric, supervised": {"symmetric": True, "supervised": 0.5},
    "symmetric prose": {"anchor": "prose", "symmetric": True},
    "text both ways": {"text_direction": "both"},
    "text both ways, text": {"variant": "text", "text_direction": "both", "own_path": "both"},
    "split context": {"split_context": True},
    "own path": {"own_path": "both"},
    "own path of audio, experts": {"own_path": "audio", "experts": True},
    "own path, audio": {"variant": "audio", "own_path": "both"},
    "experts": {"experts": True, "unimodal": 1.0},
    "distillation": {"distillation": 0.5, "own_path": "both"},
    "contrast heads": {"contrast_heads": True, "same_label_negatives": False},
    "contrast heads, prose": {"contrast_heads": True, "same_label_negatives": False, "anchor": "prose"},
    "every addition": {
        "text_direction": "both",
        "split_context": True,
        "own_path": "both",
        "experts": True,
        "unimodal": 1.0,
        "distillation": 0.5,
        "contrast_heads": True,
        "same_label_negatives": False,
    },
}
each_decision = pytest.mark.parametrize("settings", DECISIONS.values(), ids=DECISIONS.keys())


def total_loss(output, batch):
    loss = F.cross_entropy(output.logits.flatten(0, 1), batch.label.flatten(), ignore_index=UNLABELLED)
    return loss + sum(output.losses.values())


def only(batch, rows, turns):
    parts = {name: getattr(batch, name)[rows, :turns] for name in batch.__dataclass_fields__}
    return type(batch)(**parts)


def test_speakers_are_told_apart_by_order_of_appearance(make_batch, make_model):
    batch = make_batch((4,))
    other = replace(batch, speaker=torch.tensor([[0, 1, 0, 1]]))
    assert torch.equal(make_model()(batch).logits, make_model()(other).logits)
    for settings in ({}, {"audio_context": False}, {"variant": "audio"}, {"variant": "text"}):
        model = make_model(speaker_embedding=True, **settings)
        assert (model(batch).logits - model(other).logits)[0, 1].abs().max() > 1e-5
    crowd = replace(batch, speaker=torch.tensor([[0, 15, 99, 1000]]))  # more than the model tells apart: no error
    assert torch.isfinite(make_model(speaker_embedding=True)(crowd).logits).all()


def test_labels_reach_the_supervised_loss_and_nothing_else(make_batch, make_model):
    model, batch = make_model(supervised=0.5), make_batch((5, 3))
    other = replace(batch, label=batch.label.masked_fill(batch.mask, 0))
    plain, changed = model(batch), model(other)
    assert torch.equal(plain.logits, changed.logits)
    assert plain.losses["supervised"] == 0.5 * plain.terms["contrastive_supervised"]
    assert plain.losses["supervised"] != changed.losses["supervised"]
    unlabelled = replace(batch, label=torch.full_like(batch.label, UNLABELLED))
    assert model.train()(unlabelled).losses["supervised"] == 0
    assert not model.eval()(unlabelled).losses  # scoring does not pay for what it does not need
    assert "supervised" not in make_model()(batch).losses


@pytest.mark.parametrize("settings", [{"unimodal": 1.0, "experts": True}, {"same_label_negatives": False}])
def test_labels_reach_losses_alone(make_batch, make_model, settings):
    model, batch = make_model(**settings).train(), make_batch((5, 3))
    other = replace(batch, label=batch.label.masked_fill(batch.mask, 0))
    plain, changed = model(batch), model(other)
    assert torch.equal(plain.logits, changed.logits)
    assert any(plain.losses[name] != changed.losses[name] for name in plain.losses)


def test_additions_are_off_and_draw_nothing(make_model):
    """The paper's model stays what it was, weight by weight: what is added is built after it, and only if asked for."""
    plain, wide = make_model().state_dict(), make_model(text_direction="both").state_dict()
    assert not [name for name in plain if name.startswith(("own_", "heads.", "text_context.backward_states"))]
    # What is drawn before the first addition is the same with it.
    for name in ("text_context.states.internal.weight_ih_l0", "audio_context.conv.weight"):
        assert torch.equal(plain[name], wide[name])
    # The sum of the weights before there were additions.
    assert sum(value.double().sum().item() for value in plain.values()) == pytest.approx(PAPERS_SUM, rel=1e-6)


def test_causal_with_every_causal_addition(make_batch, make_model):
    """Text alone, and both ways only where it is asked for."""
    batch = make_batch((6,))
    later = replace(batch, text=batch.text + torch.arange(6)[None, :, None].ge(4) * 10.0)
    added = {"variant": "text", "fusion": False, "split_context": True, "own_path": "both"}
    causal, both = make_model(**added), make_model(**added, text_direction="both")
    assert torch.equal(causal(batch).logits[:, :4], causal(later).logits[:, :4])
    assert (both(batch).logits[:, :4] - both(later).logits[:, :4]).abs().amax(-1).min() > 1e-6


def scribbled(batch):
    """Other content, NaN included, wherever the masks say that there is none."""
    no_words = ~batch.has_text
    return replace(
        batch,
        audio=batch.audio.masked_fill(~batch.has_audio[..., None], float("nan")),
        text=batch.text.masked_fill(no_words[..., None], float("nan")),
        commonsense=batch.commonsense.masked_fill(no_words[..., None, None], 1e3),
    )


def test_every_field_of_the_parameter_model_is_read(monkeypatch):
    """A setting that the builder forgets would do nothing, without a word."""
    asked = set()
    parameters = ModelParameters(dim=16, heads=2, feedforward=24, unimodal=0.3)
    look_up = ModelParameters.__getattribute__
    monkeypatch.setattr(ModelParameters, "__getattribute__", lambda self, name: asked.add(name) or look_up(self, name))
    build_hbaf(parameters, audio_dim=6, text_dim=7, commonsense_dim=None, emotions=4)
    assert asked >= set(ModelParameters.model_fields)


@each_decision
def test_a_dialogue_alone_and_in_a_longer_batch(make_batch, make_model, settings):
    model = make_model(**settings)
    batch = make_batch((3, 9, 1), no_audio=[(0, 1)], no_text=[(0, 2)])
    together = model(batch)
    for row, turns in enumerate((3, 9, 1)):
        alone = model(only(batch, slice(row, row + 1), turns))
        torch.testing.assert_close(alone.logits[0], together.logits[row, :turns], atol=1e-5, rtol=1e-5)
        for name, view in alone.views.items():
            cut = (
                together.views[name][row, :turns]
                if name.startswith(("gate", "expert"))
                else together.views[name][row, :, :turns, :turns]
            )
            torch.testing.assert_close(view[0], cut, atol=1e-5, rtol=1e-5)


@each_decision
def test_what_lies_on_padding_and_behind_missing_marks_changes_nothing(make_batch, make_model, settings):
    model = make_model(**settings)
    batch = make_batch((3, 6), no_audio=[(0, 1), (1, 4)], no_text=[(0, 1), (1, 2)])
    plain, changed = model(batch), model(scribbled(batch))

    assert torch.equal(plain.logits[batch.mask], changed.logits[batch.mask])
    assert {name: loss.item() for name, loss in plain.losses.items()} == {
        name: loss.item() for name, loss in changed.losses.items()
    }


@each_decision
def test_every_parameter_gets_a_finite_gradient(make_batch, make_model, settings):
    model = make_model(**settings).train()
    batch = make_batch((5, 4, 1), no_audio=[(0, 1), (1, 3)], no_text=[(0, 2), (1, 0)])
    total_loss(model(batch), batch).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@each_decision
@pytest.mark.parametrize("lengths", [(1,), (1, 1), (1, 2)])
def test_first_turns_alone_are_finite(make_batch, make_model, settings, lengths):
    model = make_model(**settings).train()
    batch = make_batch(lengths)
    output = model(batch)
    total_loss(output, batch).backward()
    assert torch.isfinite(output.logits).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@each_decision
@pytest.mark.parametrize("modality", ["audio", "text"])
def test_a_modality_missing_everywhere_is_finite(make_batch, make_model, settings, modality):
    model = make_model(**settings).train()
    for batch in (make_batch().without(modality), make_batch().without("audio").without("text")):
        output = model(batch)
        loss = total_loss(output, batch)
        loss.backward()
        assert torch.isfinite(output.logits).all()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@each_decision
def test_train_and_eval_agree_without_dropout(make_batch, make_model, settings):
    model, batch = make_model(**settings), make_batch()
    quiet = model(batch).logits
    torch.testing.assert_close(model.train()(batch).logits, quiet, atol=1e-5, rtol=1e-5)


def test_missing_keys_get_no_attention_and_leave_the_contrast(make_batch, make_model):
    model = make_model()
    batch = make_batch((5,), no_audio=[(0, 1)], no_text=[(0, 3)])
    views = model(batch).views
    for name in ("attention_audio", "attention_text_to_audio"):
        assert views[name][..., 1].abs().max() == 0
        assert views[name][..., 3].min() > 0
    for name in ("attention_text", "attention_audio_to_text"):
        assert views[name][..., 3].abs().max() == 0
        assert views[name][..., 1].min() > 0
    assert set(model(batch.without("audio")).losses) == {"text_fused"}
    assert model(batch.without("audio")).views["attention_audio"].abs().max() == 0


def test_a_missing_modality_is_not_a_zero_vector(make_batch, make_model):
    model = make_model()
    batch = make_batch((4,), no_text=[(0, 2)])
    before = model(batch).logits
    with torch.no_grad():
        model.missing_text += 1.0
    assert (model(batch).logits - before)[0, 2].abs().max() > 1e-4


def test_views_and_shapes(make_batch, make_model):
    output = make_model(fusion_heads=2)(make_batch((5, 3)))
    assert output.logits.shape == (2, 5, 4)
    shapes = {name: tuple(view.shape) for name, view in output.views.items()}
    square = (2, 2, 5, 5)
    assert shapes == {
        "gate_audio": (2, 5, 16),
        "gate_text": (2, 5, 16),
        "attention_audio": square,
        "attention_text": square,
        "attention_audio_to_text": square,
        "attention_text_to_audio": square,
    }
    assert not any(view.requires_grad for view in output.views.values())
    for variant in ("audio", "text"):
        output = make_model(variant=variant)(make_batch((5, 3)))
        assert set(output.views) == {f"attention_{variant}"}
        assert not output.losses


def test_full_width_has_the_size_of_the_paper():
    with torch.device("meta"):
        model = build_hbaf(audio_dim=512, text_dim=1024, commonsense_dim=1024, emotions=7)
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == 31_749_191
    assert 25e6 < parameters < 32e6
    assert model.classifier.in_features == 1024
    assert model.audio_context.lstm.hidden_size == 256
    assert model.text_context.out.in_features == 1536


@pytest.mark.parametrize(
    ("settings", "removed"),
    [
        ({"variant": "audio"}, ("missing_text", "missing_commonsense", "text_context", "fusion.gate", "contrast")),
        ({"variant": "text"}, ("missing_audio", "audio_context", "fusion.gate", "contrast")),
        ({"audio_context": False}, ("audio_context.conv", "audio_context.lstm", "audio_context.encoder")),
        ({"fusion": False}, ("fusion",)),
        ({"bimodal_attention": False}, ("fusion.attention",)),
        ({"gate": False}, ("fusion.gate",)),
        ({"residual": False}, ("fusion.residual",)),
        ({"mu": 0.0}, ("contrast",)),
        ({"commonsense_dim": None}, ("missing_commonsense", "text_context.commonsense")),
        ({"current_utterance": False}, ("missing_commonsense", "text_context.commonsense")),
        ({"current_utterance": False, "context_attention": "scalar"}, ("missing_text",)),
    ],
)
def test_what_is_switched_off_is_not_built(make_model, settings, removed):
    whole = {name for name, _ in make_model().named_parameters()}
    left = {name for name, _ in make_model(**settings).named_parameters()}
    for prefix in removed:
        assert any(name.startswith(prefix) for name in whole)
        assert not any(name.startswith(prefix) for name in left)


def test_without_fusion_the_streams_are_classified(make_batch, make_model):
    """Also: what stands in where a modality is missing, and that each stream ignores it as a key."""
    model, batch = make_model(fusion=False), make_batch((4,), no_audio=[(0, 1)], no_text=[(0, 2)])
    audio, text, commonsense = batch.audio.clone(), batch.text.clone(), batch.commonsense.clone()
    audio[0, 1] = model.missing_audio
    text[0, 2], commonsense[0, 2] = model.missing_text, model.missing_commonsense
    H_a = model.audio_context(audio, batch.mask, batch.has_audio)
    H_l = model.text_context(text, commonsense, batch.has_text)
    torch.testing.assert_close(model(batch).logits, model.classifier(torch.cat([H_a, H_l], -1)), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("variant", ["audio", "text"])
def test_a_single_stream_never_sees_the_other(make_batch, make_model, variant):
    model, batch = make_model(variant=variant), make_batch((4,))
    other = {"audio": "text", "text": "audio"}[variant]
    changed = replace(batch, **{other: getattr(batch, other) + 1})
    assert torch.equal(model(batch).logits, model(changed).logits)
    assert torch.equal(model(batch).logits, model(batch.without(other)).logits)
    assert not torch.equal(model(batch).logits, model(batch.without(variant)).logits)


def test_modality_dropout_takes_one_modality_in_training_only(make_batch, make_model):
    model, batch = make_model(modality_dropout=0.9), make_batch()
    assert torch.equal(model(batch).logits, make_model()(batch).logits)
    model.train()
    torch.manual_seed(0)
    first, second = model(batch).logits, model(batch).logits
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(model(batch).logits, first)


def test_modality_dropout_rates():
    torch.manual_seed(0)
    has_audio = torch.ones(100, 100, dtype=torch.bool)
    has_text = has_audio.clone()
    has_text[:, 90:] = False
    audio, text = drop_modality(has_audio, has_text, 0.4)
    assert (audio | text).all()  # never both
    assert audio[:, 90:].all()  # never the only one
    # 9000 draws of chance 0.2: standard deviation 0.004
    assert 1 - audio[:, :90].float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert 1 - text[:, :90].float().mean().item() == pytest.approx(0.2, abs=0.02)
    audio, text = drop_modality(has_audio, has_audio, 1.0)
    assert (audio ^ text).all()


@pytest.mark.parametrize("reading", ["query", "scalar", "elementwise"])
def test_800_turns(make_batch, make_model, reading):
    model = make_model(context_attention=reading).train()
    batch = make_batch((800,))
    output = model(batch)
    total_loss(output, batch).backward()
    assert torch.isfinite(output.logits).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@each_decision
def test_bf16_autocast(make_batch, make_model, settings):
    model = make_model(**settings).train()
    batch = make_batch((5, 3), no_audio=[(0, 1)], no_text=[(1, 0)])
    exact = model(batch).logits[batch.mask]
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch)
        loss = total_loss(output, batch)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    torch.testing.assert_close(output.logits[batch.mask].float(), exact, atol=0.1, rtol=0.1)


def test_safetensors_round_trip(make_batch, make_model):
    model, batch = make_model(), make_batch()
    copy = make_model()
    for parameter in copy.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    copy.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(copy(batch).logits, model(batch).logits)


def test_commonsense_that_does_not_come_is_an_error(make_batch, make_model):
    with pytest.raises(ValueError, match="built for commonsense features and the batch has none"):
        make_model()(make_batch(commonsense=False))
    assert torch.isfinite(make_model(commonsense_dim=None)(make_batch(commonsense=False)).logits).all()


def test_widths_that_do_not_divide_are_errors(make_model):
    with pytest.raises(ValueError, match="divisible by heads"):
        make_model(heads=3)
    with pytest.raises(ValueError, match="divisible by fusion_heads"):
        make_model(fusion_heads=3)
    with pytest.raises(ValueError, match="even"):
        make_model(dim=15, heads=3)
