"""What to do where a first model does not get past the floors."""

from collections.abc import Mapping, Sequence

from hbaf.promotion.rules import Rule
from hbaf.training.package import PackageFacts
from hbaf.training.quality.run_verdict import past_floors


def after_floors(
    score: float, floors: Mapping[str, float], rules: Sequence[Rule], facts: PackageFacts, dialogues: Mapping[str, int]
) -> tuple[str, ...]:
    """Which floor stood in the way, by how much, and the next steps; nothing where none did.

    Args:
        score: weighted F1 of the candidate.
        floors: name -> weighted F1; the rule about a floor has its name.
        dialogues: how many each split has, by the split in words.
    """
    failed = [rule for rule in rules if rule.passed is False and rule.name in floors]
    if not failed:
        return ()
    sentences = [_stood(rule, score, floors[rule.name]) for rule in failed]
    steps = past_floors(facts, dialogues)
    return (*sentences, f"what to do next: {'; '.join(steps)}. Then `hbaf promote SOURCE` again.")


def _stood(rule: Rule, score: float, floor: float) -> str:
    if floor > score:
        return (
            f"the baseline `{rule.name}` won: weighted F1 {floor:.3f}, the candidate {score:.3f}, behind by "
            f"{floor - score:.3f} (difference {rule.detail})"
        )
    return (
        f"the candidate is not far enough ahead of the baseline `{rule.name}`: weighted F1 {score:.3f} against "
        f"{floor:.3f} (difference {rule.detail}; asked: {rule.asked})"
    )
