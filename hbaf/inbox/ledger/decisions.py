"""What becomes of a conversation that was read: published exactly once by content and model."""

from collections.abc import Collection
from typing import Literal

from hbaf.inbox.ledger.records import Conversation, Found
from hbaf.inbox.ledger.states import UNFINISHED, State
from hbaf.registry.models import RegisteredModel

Decision = Literal["score", "unchanged", "duplicate", "quarantined", "ignored"]


def decide(
    one: Found, known: Conversation | None, holders: Collection[str], model: RegisteredModel
) -> tuple[Decision, State | None, str]:
    """What is done with it, the state that it goes to (None: as before), and why.

    Args:
        known: what the ledger says of it.
        holders: conversations that are or will be published with the same content.
    """
    if known is not None and known.state == State.IGNORED:
        return "ignored", None, ""
    if one.problem:
        return "quarantined", State.QUARANTINED, one.problem
    if known is not None and known.published_digest == one.digest:
        # A new champion does not score again what an earlier one scored, unless a person asks (`hbaf rescore`).
        asked = known.rescore or known.state in UNFINISHED
        by = (known.run_id, model.run_id) if known.run_id else (known.model_version, model.label)
        if by[0] == by[1] or not asked:
            return "unchanged", State.PUBLISHED, ""
        return "score", State.VALIDATED, ""
    if known is None or known.published_digest is None:
        same = next((name for name in holders if name != one.name), None)
        if same is not None:
            return "duplicate", State.DUPLICATE, f"the same words and sound as {same}"
    return "score", State.VALIDATED, ""
