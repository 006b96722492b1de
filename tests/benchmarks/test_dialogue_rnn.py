"""DialogueRNN here against a plain loop over utterances of the same cell: one training step, 32 dialogues."""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hbaf.baselines.published.dialogue_rnn import PartyRecurrence
from hbaf.baselines.turns import both_directions

DIALOGUES, INPUTS, DIM = 32, 512 + 1024, 150
REPEATS = 2


def cells(recurrence: PartyRecurrence, way: int) -> tuple[nn.GRUCell, nn.GRUCell, Tensor]:
    """The same weights as torch's own cells: of the global state, of the party state; and the attention's W."""
    H = recurrence.dim
    to_global, to_party = recurrence.party_state.weight[way].split(3 * H, -1)
    bias_global, bias_party = recurrence.party_state.bias[way, 0].split(3 * H, -1)
    of_global, of_party = nn.GRUCell(INPUTS + H, H), nn.GRUCell(INPUTS + H, H)
    with torch.no_grad():
        of_global.weight_ih.copy_(torch.cat([recurrence.global_input.weight[way], to_global]).T)
        of_global.bias_ih.copy_(recurrence.global_input.bias[way, 0] + bias_global)
        of_global.weight_hh.copy_(recurrence.global_state.weight[way].T)
        of_global.bias_hh.copy_(recurrence.global_state.bias[way, 0])
        of_party.weight_ih.copy_(
            torch.cat([recurrence.party_input.weight[way], recurrence.party_context.weight[way]]).T
        )
        of_party.bias_ih.copy_(recurrence.party_input.bias[way, 0])
        of_party.weight_hh.copy_(to_party.T)
        of_party.bias_hh.copy_(bias_party)
    return of_global, of_party, recurrence.query.weight[way].detach().clone().requires_grad_()


def utterance_by_utterance(parts: tuple[nn.GRUCell, nn.GRUCell, Tensor], u: Tensor, speaker: Tensor) -> Tensor:
    """One dialogue, one direction: u (U, inputs), speaker (U) -> q (U, H)."""
    of_global, of_party, W = parts
    party: dict[int, Tensor] = {}
    heard: list[Tensor] = []
    said = []
    for now, who in zip(u, speaker.tolist(), strict=True):
        q = party.get(who, now.new_zeros(DIM))
        g = of_global(torch.cat([now, q]), heard[-1] if heard else now.new_zeros(DIM))
        c = now.new_zeros(DIM)
        if heard:
            history = torch.stack(heard)
            c = (history @ (now @ W)).softmax(0) @ history
        heard.append(g)
        party[who] = of_party(torch.cat([now, c]), q)
        said.append(party[who])
    return torch.stack(said)


def turn_by_turn(parts: tuple[nn.GRUCell, nn.GRUCell, Tensor], u: Tensor, speaker: Tensor) -> Tensor:
    """One direction, batched over dialogues as the published code is: u (B, U, inputs), speaker (B, U) -> q (B, U, H).

    Every party's cell is computed at each turn, and who does not speak keeps the old state.
    """
    of_global, of_party, W = parts
    B, turns, _ = u.shape
    parties = int(speaker.max()) + 1
    states = u.new_zeros(B, parties, DIM)
    g = u.new_zeros(B, DIM)
    heard: list[Tensor] = []
    said = []
    rows = torch.arange(B)
    for turn in range(turns):
        now, who = u[:, turn], speaker[:, turn]
        new_g = of_global(torch.cat([now, states[rows, who]], -1), g)
        c = now.new_zeros(B, DIM)
        if heard:
            history = torch.stack(heard, 1)
            c = (((history @ (now @ W)[..., None]).softmax(1)) * history).sum(1)
        g = new_g
        heard.append(g)
        read = torch.cat([now, c], -1)[:, None].expand(-1, parties, -1)
        new = of_party(read.reshape(B * parties, -1), states.reshape(B * parties, -1)).view(B, parties, -1)
        speaks = (torch.arange(parties) == who[:, None])[..., None]
        states = torch.where(speaks, new, states)
        said.append(states[rows, who])
    return torch.stack(said, 1)


def seconds(step: Callable[[], object]) -> float:
    """Of processor time, the least of a few: one thread computes, and others may be busy on the machine."""
    times = []  # each step has run once before, for the comparison of results
    for _ in range(REPEATS):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.benchmark
@pytest.mark.parametrize(("shortest", "longest"), [(2, 24), (30, 70)], ids=["MELD's lengths", "IEMOCAP's lengths"])
def test_dialogue_rnn_against_plain_loops(shortest: int, longest: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lengths = torch.randint(shortest, longest + 1, (DIALOGUES,))
    turns = int(lengths.max())
    mask = torch.arange(turns) < lengths[:, None]
    vectors, speakers = torch.randn(DIALOGUES, turns, INPUTS) * mask[..., None], torch.randint(0, 4, mask.shape) * mask
    u, speaker = both_directions(vectors, mask), both_directions(speakers, mask)
    recurrence = PartyRecurrence(INPUTS, DIM)
    parts = [cells(recurrence, way) for way in range(2)]

    def here() -> Tensor:
        q = recurrence(vectors, speakers, mask)
        q[:, mask].square().mean().backward()
        return q.detach()

    def by_turn() -> Tensor:
        q = torch.stack([turn_by_turn(parts[way], u[way], speaker[way]) for way in range(2)])
        q[:, mask].square().mean().backward()
        return q.detach()

    def by_utterance() -> Tensor:
        q = torch.zeros(2, DIALOGUES, turns, DIM)
        total = torch.zeros(())
        for way in range(2):
            for row, length in enumerate(lengths.tolist()):
                said = utterance_by_utterance(parts[way], u[way, row, :length], speaker[way, row, :length])
                total = total + said.square().sum()
                q[way, row, :length] = said.detach()
        (total / (2 * mask.sum() * DIM)).backward()
        return q

    torch.testing.assert_close(by_utterance()[:, mask], here()[:, mask], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(by_turn()[:, mask], here()[:, mask], atol=1e-5, rtol=1e-4)
    ours, turn_loop, utterance_loop = seconds(here), seconds(by_turn), seconds(by_utterance)
    torch.set_num_threads(before)
    print(
        f"\nDialogueRNN, {DIALOGUES} dialogues of {shortest}-{longest} turns, width {DIM}, forward and backward, one "
        f"thread: {1e3 * ours:.0f} ms; loop over utterances {1e3 * utterance_loop:.0f} ms ({utterance_loop / ours:.1f} "
        f"times), loop over turns of the batch {1e3 * turn_loop:.0f} ms ({turn_loop / ours:.1f} times)"
    )
