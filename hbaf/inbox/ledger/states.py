"""The states of what arrives, and which may follow which.

arrival        waiting -> new -> read;  quarantined or ignored, with a reason
conversation   validated -> scored -> published;  quarantined or ignored with a reason; duplicate of another one
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class State(StrEnum):
    """Of an arrival or a conversation; `read` is an arrival's whose conversations stand in the ledger."""

    WAITING = "waiting"
    NEW = "new"
    READ = "read"
    VALIDATED = "validated"
    SCORED = "scored"
    PUBLISHED = "published"
    QUARANTINED = "quarantined"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"


class RunState(StrEnum):
    """Of a run."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


SHOWN = tuple(state for state in State if state is not State.READ)  # a line of the inbox; what was read is in others
HELD = (State.QUARANTINED, State.IGNORED, State.DUPLICATE)  # what a person may send on again
MAY_BE_IGNORED = (State.WAITING, State.NEW, State.QUARANTINED, State.DUPLICATE)
UNFINISHED = (State.VALIDATED, State.SCORED)  # a killed run left it half done
BACKLOG = (State.NEW, *UNFINISHED)
# A conversation in such a state makes another of its content a duplicate.
HOLDING_CONTENT = (*UNFINISHED, State.PUBLISHED)

Moves = Mapping[State | None, frozenset[State]]
# None: it is seen for the first time.
ARRIVAL_MOVES: Moves = {
    None: frozenset({State.WAITING, State.NEW}),
    State.WAITING: frozenset({State.WAITING, State.NEW, State.IGNORED}),
    State.NEW: frozenset({State.WAITING, State.NEW, State.READ, State.QUARANTINED, State.IGNORED}),
    State.READ: frozenset({State.WAITING, State.NEW, State.READ, State.QUARANTINED}),  # changed, or read again
    State.QUARANTINED: frozenset({State.WAITING, State.NEW, State.QUARANTINED, State.IGNORED}),
    State.IGNORED: frozenset({State.WAITING}),  # a person retries
}
TAKEN_IN = frozenset({State.VALIDATED, State.QUARANTINED, State.DUPLICATE})
CONVERSATION_MOVES: Moves = {
    None: TAKEN_IN | {State.PUBLISHED},  # published: found in the dataset, by `hbaf verify --repair`
    State.VALIDATED: TAKEN_IN | {State.SCORED, State.PUBLISHED},
    State.SCORED: TAKEN_IN | {State.SCORED, State.PUBLISHED},
    State.PUBLISHED: frozenset({State.VALIDATED, State.QUARANTINED, State.PUBLISHED}),
    State.QUARANTINED: TAKEN_IN | {State.PUBLISHED, State.IGNORED},  # published: back to the content that is
    State.DUPLICATE: TAKEN_IN | {State.IGNORED},
    State.IGNORED: frozenset({State.VALIDATED}),  # a person retries
}


class MoveError(RuntimeError):
    """A state would follow another that it may not follow: a mistake in the program, and nothing was changed."""


def check_moves(moves: Moves, before: Iterable[str | None], after: State, what: str) -> None:
    """Refuses a move that is not declared.

    Args:
        before: the states of all that shall move.
        what: names it for the message.

    Raises:
        MoveError: one of them may not become `after`.
    """
    for state in before:
        known = None if state is None else State(state)
        if after not in moves[known]:
            raise MoveError(f"{what}: {known or 'nothing'} may not become {after}. Please report this as a bug.")
