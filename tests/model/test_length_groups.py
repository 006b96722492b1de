"""Groups of like length: little padding, few turns, and the values of the whole batch."""

import itertools
import random

import pytest
import torch

from hbaf.model.length_groups import ONE_GROUP, GroupCosts, length_groups

FREE = GroupCosts(0, 0)


def cost(lengths, groups, costs):
    return sum((len(group) + costs.turn) * max(lengths[place] for place in group) + costs.group for group in groups)


@pytest.mark.parametrize("costs", [FREE, GroupCosts(0.5, 0), GroupCosts(2, 3), GroupCosts(0, 8), GroupCosts(5, 1)])
def test_no_other_cut_costs_less(costs):
    draw = random.Random(0)
    for _ in range(20):
        lengths = [draw.randint(1, 12) for _ in range(7)]
        groups = length_groups(lengths, costs)
        assert sorted(place for group in groups for place in group) == list(range(7))
        order = sorted(range(7), key=lambda place: -lengths[place])
        others = (
            [order[a:b] for a, b in itertools.pairwise((0, *cuts, 7))]
            for count in range(7)
            for cuts in itertools.combinations(range(1, 7), count)
        )
        assert cost(lengths, groups, costs) == min(cost(lengths, other, costs) for other in others)


def test_turns_or_groups_that_cost_much_leave_one_group():
    assert length_groups([9, 1, 4], GroupCosts(1e9, 0)) == [[0, 2, 1]]
    assert length_groups([9, 1, 4], GroupCosts(0, 1e9)) == [[0, 2, 1]]
    assert length_groups([9, 1, 4], ONE_GROUP) == [[0, 2, 1]]
    assert length_groups([9, 1, 9], FREE) == [[0, 2], [1]]


@pytest.mark.parametrize("settings", [{}, {"variant": "audio"}, {"variant": "text"}, {"fusion": False}, {"dim": 8}])
def test_groups_change_no_value(make_batch, make_model, settings):
    """Logits, losses, views and gradients are those of the batch in one piece."""
    batch = make_batch((9, 1, 4, 8, 1), no_audio=[(0, 3), (1, 0)], no_text=[(2, 1)])
    found = []
    for costs in (ONE_GROUP, FREE):
        model = make_model(**settings)
        assert len(length_groups([9, 1, 4, 8, 1], model.group_costs)) == 1, "a narrow model has one group"
        model.group_costs = costs
        output = model(batch)
        (output.logits[batch.mask].square().sum() + sum(output.losses.values())).backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        maps = {name: view[:, :, :, 0] if view.dim() == 4 else view for name, view in output.views.items()}
        real = {name: (view.transpose(1, 2) if view.shape[1] != 9 else view)[batch.mask] for name, view in maps.items()}
        found.append((output.logits[batch.mask], output.losses, real, gradients))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)
    assert not any(value is None for value in found[0][3].values())
