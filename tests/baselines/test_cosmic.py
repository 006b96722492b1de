"""COSMIC's states against the plain cells of torch, one turn after the other."""

import torch
from torch import nn

from hbaf.baselines.published.cosmic import COSMIC, CommonsenseRecurrence

E, X, H = 3, 4, 2


def cell(inputs: list[torch.Tensor], bias: torch.Tensor, state: nn.Module, way: int) -> nn.GRUCell:
    """torch's cell with the weights of one direction; `inputs` are the (in, 3H) blocks of what it reads, in order."""
    weight = torch.cat(inputs)
    built = nn.GRUCell(len(weight), H)
    with torch.no_grad():
        built.weight_ih.copy_(weight.T)
        built.bias_ih.copy_(bias)
        built.weight_hh.copy_(state.weight[way].T)
        built.bias_hh.copy_(state.bias[way, 0])
    return built


def test_states_follow_the_equations() -> None:
    torch.manual_seed(0)
    net, turns, speakers = CommonsenseRecurrence(E, E + X, X, H), 5, [0, 1, 0, 2, 1]
    u, react, effect = torch.randn(2, 1, turns, E), torch.randn(2, 1, turns, X), torch.randn(2, 1, turns, X)
    speaker = torch.tensor(speakers).expand(2, 1, -1)
    q_all, r_all = net(u, torch.cat([u, react], -1), effect, speaker)
    for way in range(2):
        of_r, of_q = net.context.weight[way].split(3 * H, -1)
        of_global = cell(
            [net.global_input.weight[way], net.global_parties.weight[way]],
            net.global_input.bias[way, 0],
            net.global_state,
            way,
        )
        external = cell(
            [net.external_input.weight[way], of_r], net.external_input.bias[way, 0], net.external_state, way
        )
        internal = cell(
            [net.internal_input.weight[way], of_q], net.internal_input.bias[way, 0], net.internal_state, way
        )
        q, r = {s: torch.zeros(1, H) for s in speakers}, {s: torch.zeros(1, H) for s in speakers}
        g, heard = torch.zeros(1, H), []
        for t, s in enumerate(speakers):
            now = u[way, :, t]
            c = torch.zeros(1, H)
            if heard:
                history = torch.cat(heard)  # (t, H)
                c = (history @ net.score.weight[way]).softmax(0).T @ history
            g = of_global(torch.cat([now, q[s], r[s]], -1), g)
            heard.append(g)
            r[s] = external(torch.cat([now, react[way, :, t], c], -1), r[s])
            q[s] = internal(torch.cat([effect[way, :, t], c], -1), q[s])
            torch.testing.assert_close(q_all[way, :, t], q[s])
            torch.testing.assert_close(r_all[way, :, t], r[s])


def test_context_attention_survives_large_scores() -> None:
    torch.manual_seed(0)
    net = CommonsenseRecurrence(E, E, E, H)
    with torch.no_grad():
        net.score.weight.mul_(1e4)
    u = torch.randn(2, 1, 30, E)
    q, r = net(u, u, u, torch.zeros(2, 1, 30, dtype=torch.int64))
    (q.sum() + r.sum()).backward()
    assert torch.isfinite(q).all()
    assert torch.isfinite(r).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_intent_runs_over_each_speakers_own_turns(make_batch) -> None:
    """i_t = GRU([purpose ; q_t], i of the speaker's turn before), by torch's GRU on hand-picked turns."""
    torch.manual_seed(0)
    system = COSMIC(audio_dim=6, text_dim=7, commonsense_dim=5, emotions=4, dim=H).eval()
    batch = make_batch((6, 4), speakers=3)
    x = torch.randn(2, 2, 6, 5 + H)
    speaker = batch.speaker.expand(2, -1, -1)
    i = system._intent(x, speaker, batch.mask)
    for way, dialogue, turns in ((0, 0, [0, 3]), (0, 1, [0, 3]), (1, 0, [2, 5]), (1, 1, [1])):
        expected, _ = system.intent[way](x[way, dialogue, turns][None])
        torch.testing.assert_close(i[way, dialogue, turns], expected[0])
    assert i[:, 1, 4:].abs().max() == 0


def test_each_inference_feeds_its_own_state(make_batch) -> None:
    system = COSMIC(audio_dim=6, text_dim=7, commonsense_dim=5, emotions=4, dim=6).eval()
    batch = make_batch((3,))
    seen = {}
    system.parties.register_forward_pre_hook(lambda _, given: seen.update(external=given[1], internal=given[2]))
    system(batch)
    torch.testing.assert_close(seen["external"][0][..., -5:], batch.commonsense[:, :, 0])
    torch.testing.assert_close(seen["internal"][0], batch.commonsense[:, :, 1])
