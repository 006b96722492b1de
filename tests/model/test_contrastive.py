import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaf.model.contrastive import InterModalContrast, comparable_views, info_nce, supervised_contrast


@pytest.mark.parametrize("K", [1, 2, 7, 64])
@pytest.mark.parametrize("tau", [0.02, 0.1, 1.0])
def test_identical_embeddings_give_log_k(K, tau):
    same = torch.randn(1, 8).expand(K, 8)
    assert info_nce(same, 3 * same, tau).item() == pytest.approx(math.log(K), abs=1e-5)


def test_by_hand():
    anchor = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    positive = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    # cosines: anchor 0 with positives 0.6 and 0, anchor 1 with 0.8 and 1; tau 0.5
    # -log(e^1.2 / (e^1.2 + e^0)) = log(1 + e^-1.2) = 0.263282; log(1 + e^(1.6 - 2)) = 0.513015; mean 0.388149
    assert info_nce(anchor, positive, 0.5).item() == pytest.approx(0.388149, abs=1e-6)


def test_nothing_to_compare_is_zero_with_a_gradient():
    for K in (0, 1):
        anchor = torch.randn(K, 4, requires_grad=True)
        loss = info_nce(anchor, torch.randn(K, 4), 0.1)
        loss.backward()
        assert loss.item() == 0
        assert anchor.grad.abs().sum() == 0


@settings(deadline=None, max_examples=40)
@given(K=st.integers(1, 12), tau=st.floats(0.02, 2.0), seed=st.integers(0, 999))
def test_bounds(K, tau, seed):
    """Cosines lie in [-1, 1], so the loss lies in [0, log(1 + (K - 1) e^(2 / tau))]; order of rows is free."""
    draw = torch.Generator().manual_seed(seed)
    anchor, positive = torch.randn(K, 5, generator=draw), torch.randn(K, 5, generator=draw)
    loss = info_nce(anchor, positive, tau).item()
    assert -1e-6 <= loss <= math.log1p((K - 1) * math.exp(min(2 / tau, 700))) + 1e-4
    order = torch.randperm(K, generator=draw)
    assert info_nce(anchor[order], positive[order], tau).item() == pytest.approx(loss, abs=1e-4, rel=1e-4)


def test_further_negatives_leave_out_the_own_utterance():
    K = 4
    same = torch.ones(K, 3)
    everyone_else = ~torch.eye(K, dtype=torch.bool)
    # positive + (K - 1) others + (K - 1) of the other modality
    assert info_nce(same, same, 0.1, same, everyone_else).item() == pytest.approx(math.log(2 * K - 1), abs=1e-5)
    assert info_nce(same, same, 0.1, same).item() == pytest.approx(math.log(2 * K), abs=1e-5)


def test_zero_padding_never_aligns_and_tiling_measures_half():
    h_a = torch.tensor([[1.0, 0.0]])
    for h_l, cosine in ((torch.tensor([[1.0, 0.0]]), 1.0), (torch.tensor([[0.0, 1.0]]), 0.0)):
        h_m = torch.cat([h_a, h_l], -1)
        audio, text, fused = comparable_views(h_a, h_l, h_m, "zero_pad")
        # cos([a ; 0], [a ; l]) = 1 / sqrt(2) whatever the text says
        assert torch.cosine_similarity(audio, fused).item() == pytest.approx(math.sqrt(0.5))
        assert torch.cosine_similarity(text, fused).item() == pytest.approx(math.sqrt(0.5))
        audio, text, fused = comparable_views(h_a, h_l, h_m, "tile")
        assert torch.cosine_similarity(audio, fused).item() == pytest.approx((1 + cosine) / 2)
        assert torch.cosine_similarity(text, fused).item() == pytest.approx((1 + cosine) / 2)


def test_projection_is_shared_and_needed():
    contrast = InterModalContrast(8)
    assert [tuple(p.shape) for p in contrast.parameters()] == [(8, 16)]
    for settings_ in ({"fused_view": "tile"}, {"fused_view": "zero_pad"}, {"lambda1": 0.0, "lambda2": 0.0}):
        assert not list(InterModalContrast(8, **settings_).parameters())
    with pytest.raises(ValueError, match="2D to D"):
        comparable_views(torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 4), "projection")


@pytest.fixture
def fused():
    torch.manual_seed(0)
    h_a, h_l = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    has_audio = torch.tensor([[True, True, False], [True, True, False]])
    has_text = torch.tensor([[True, True, True], [False, True, False]])
    return h_a, h_l, torch.cat([h_a, h_l], -1), has_audio, has_text


def test_weights_of_equation_21_and_pairs_by_modality(fused):
    h_a, h_l, h_m, has_audio, has_text = fused
    contrast = InterModalContrast(8, mu=0.5, lambda1=2.0, lambda2=3.0, lambda3=4.0, tau=0.3)
    losses, terms = contrast(*fused)
    map_ = contrast.projection
    both = has_audio & has_text
    expected = {
        "audio_fused": info_nce(h_a[has_audio], map_(h_m[has_audio]), 0.3),
        "text_fused": info_nce(h_l[has_text], map_(h_m[has_text]), 0.3),
        "audio_text": info_nce(h_a[both], h_l[both], 0.3),
    }
    assert set(losses) == set(expected)
    for (name, value), weight in zip(expected.items(), (1.0, 1.5, 2.0), strict=True):
        torch.testing.assert_close(losses[name], weight * value)
        torch.testing.assert_close(terms[f"contrastive_{name}"], value)
        assert not terms[f"contrastive_{name}"].requires_grad


def test_prose_turns_the_fused_view_into_the_anchor(fused):
    h_a, h_l, h_m, has_audio, has_text = fused
    contrast = InterModalContrast(8, anchor="prose", fused_view="tile", tau=0.3)
    _, terms = contrast(*fused)

    def cosine(x, y):
        return torch.cosine_similarity(torch.cat([x, x], -1), y, dim=-1)

    total = []
    turns = [(b, t) for b in range(2) for t in range(3)]
    for k in turns:
        if not has_audio[k]:
            continue
        scores = [cosine(h_a[j], h_m[k]) / 0.3 for j in turns if has_audio[j]]
        scores += [cosine(h_l[j], h_m[k]) / 0.3 for j in turns if has_text[j] and j != k]
        total.append(torch.stack(scores).logsumexp(0) - cosine(h_a[k], h_m[k]) / 0.3)
    torch.testing.assert_close(terms["contrastive_audio_fused"], torch.stack(total).mean())


@pytest.mark.parametrize("anchor", ["equation", "prose"])
def test_terms_without_pairs_or_weight_are_absent(fused, anchor):
    h_a, h_l, h_m, has_audio, _ = fused
    nobody = torch.zeros_like(has_audio)
    assert set(InterModalContrast(8, anchor=anchor)(h_a, h_l, h_m, has_audio, nobody)[0]) == {"audio_fused"}
    losses, terms = InterModalContrast(8, anchor=anchor)(h_a, h_l, h_m, nobody, nobody)
    assert not losses
    assert not terms
    assert set(InterModalContrast(8, anchor=anchor, lambda1=0.0)(*fused)[0]) == {"text_fused", "audio_text"}


def test_autocast_does_not_blur_the_similarities(fused):
    h_a, h_l, *_ = fused
    exact = info_nce(h_a[0], h_l[0], 0.02)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(info_nce(h_a[0], h_l[0], 0.02), exact)


def test_supervised_contrast_by_hand():
    # Cosines of three unit vectors: 1-2 0.6, 1-3 0, 2-3 0.8; tau 1. Labels a, a, b: the third has no fellow.
    # Of 1: -log(e^0.6 / (e^0.6 + e^0)) = 0.437488; of 2: -log(e^0.6 / (e^0.6 + e^0.8)) = 0.798139; mean 0.617813
    h = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    assert supervised_contrast(h, torch.tensor([0, 0, 1]), 1.0).item() == pytest.approx(0.617813, abs=1e-6)
    # Two fellows of each: the mean over them, not over pairs.
    one = torch.stack([h[0], h[1]])
    assert supervised_contrast(one, torch.tensor([2, 2]), 0.5).item() == pytest.approx(0, abs=1e-6)
    same = supervised_contrast(torch.ones(5, 3), torch.tensor([0, 0, 1, 1, 1]), 0.1)
    assert same.item() == pytest.approx(math.log(4))
    alone = torch.randn(3, 4, requires_grad=True)
    none = supervised_contrast(alone, torch.tensor([0, 1, 2]), 0.1)
    none.backward()
    assert none.item() == 0
    assert torch.isfinite(alone.grad).all()
    assert supervised_contrast(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 0.1).item() == 0


@pytest.mark.parametrize("anchor", ["equation", "prose"])
def test_utterances_of_the_same_emotion_are_no_negatives(fused, anchor):
    """Where all carry one emotion nothing is left to tell apart; an unlabelled one keeps all of them."""
    contrast = InterModalContrast(8, anchor=anchor, same_label_negatives=False)
    one = torch.zeros_like(fused[3], dtype=torch.int64)
    _, terms = contrast(*fused, one)
    assert all(term.item() == pytest.approx(0, abs=1e-6) for term in terms.values())
    plain = InterModalContrast(8, anchor=anchor)
    plain.load_state_dict(contrast.state_dict())
    for label in (one - 1, torch.arange(one.numel()).view_as(one)):  # nobody labelled; nobody like another
        torch.testing.assert_close(contrast(*fused, label)[1], plain(*fused)[1])
    half = one.clone()
    half[0] = 1
    assert contrast(*fused, half)[1]["contrastive_audio_text"] < plain(*fused)[1]["contrastive_audio_text"]


def test_contrast_heads_stand_between_the_streams_and_the_terms(fused):
    h_a, h_l, _, has_audio, has_text = fused
    contrast = InterModalContrast(8, heads=True, mu=1.0)
    both = has_audio & has_text
    assert contrast.projection is None
    expected = info_nce(contrast.heads["audio"](h_a)[both], contrast.heads["text"](h_l)[both], contrast.tau)
    torch.testing.assert_close(contrast(*fused)[0]["audio_text"], expected)
    assert set(InterModalContrast(8, heads=True, lambda1=0.0, lambda2=0.0).heads) == {"audio", "text"}
    assert set(InterModalContrast(8, heads=True, lambda2=0.0, lambda3=0.0).heads) == {"audio", "fused"}


def test_symmetric_terms_are_the_mean_of_both_directions():
    torch.manual_seed(0)
    h_a, h_l = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    h_m, present = torch.cat([h_a, h_l], -1), torch.ones(1, 4, dtype=torch.bool)
    for anchor in ("equation", "prose"):
        contrast = InterModalContrast(8, anchor=anchor, fused_view="tile", mu=1.0, symmetric=True)
        _, terms = contrast(h_a, h_l, h_m, present, present)
        one_way = InterModalContrast(8, anchor=anchor, fused_view="tile", mu=1.0)(h_a, h_l, h_m, present, present)[1]
        back = info_nce(h_l[0], h_a[0], 0.1)
        expected = (one_way["contrastive_audio_text"] + back) / 2
        torch.testing.assert_close(terms["contrastive_audio_text"], expected)
        assert terms["contrastive_audio_fused"] != one_way["contrastive_audio_fused"]
