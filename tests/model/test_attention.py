import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaf.model.attention import attend, masked_softmax


@pytest.mark.parametrize("heads", [1, 4])
def test_agrees_with_scaled_dot_product_attention(heads):
    torch.manual_seed(0)
    Q, K, V = (torch.randn(2, 6, 16) for _ in range(3))
    keys = torch.tensor([[True] * 6, [True, False, True, True, False, False]])

    attended, weights = attend(Q, K, V, keys, heads)

    q, k, v = (x.view(2, 6, heads, -1).transpose(1, 2) for x in (Q, K, V))
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=keys[:, None, None, :])
    torch.testing.assert_close(attended, expected.transpose(1, 2).reshape(2, 6, 16))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, heads, 6))
    assert weights[1, :, :, [1, 4, 5]].abs().max() == 0


def test_causal_mask_agrees_with_scaled_dot_product_attention():
    torch.manual_seed(0)
    Q, K, V = (torch.randn(2, 6, 16) for _ in range(3))
    causal = torch.ones(6, 6, dtype=torch.bool).tril().expand(2, 6, 6)

    expected = F.scaled_dot_product_attention(Q, K, V, is_causal=True)
    torch.testing.assert_close(attend(Q, K, V, causal)[0], expected)


@settings(deadline=None, max_examples=50)
@given(
    allowed=st.lists(st.booleans(), min_size=1, max_size=12),
    scale=st.sampled_from([1e-3, 1.0, 1e4, 1e30]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_masked_softmax_is_a_distribution_or_zero(allowed, scale, dtype):
    scores = (scale * torch.linspace(-1, 1, len(allowed))).to(dtype).requires_grad_()
    keys = torch.tensor(allowed)

    weights = masked_softmax(scores, keys)
    (weights * torch.arange(len(allowed))).sum().backward()

    assert weights.sum().item() == pytest.approx(float(any(allowed)), abs=2e-2)
    assert weights[~keys].abs().sum() == 0
    assert torch.isfinite(scores.grad).all()
