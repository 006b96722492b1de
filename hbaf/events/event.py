"""An event: what moved, of which model or source, in a sentence and in numbers."""

import secrets
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What happened; also the name of the event in Prefect and the `type` of a webhook."""

    PROMOTED = "hbaf.model.promoted"
    ROLLED_BACK = "hbaf.model.rolled-back"
    REFUSED = "hbaf.model.refused"
    QUARANTINED = "hbaf.inbox.quarantined"
    CHANGED = "hbaf.scores.changed"
    TEST = "hbaf.test"


def _new_id() -> str:
    return secrets.token_hex(8)


@dataclass(frozen=True)
class Event:
    """Something that moved. It holds names of models and sources, and numbers; no conversation and no words.

    Attributes:
        subject: name of the registered model, or of the source.
        message: one sentence for people.
        facts: for programs; JSON.
        id: the same when the event is sent again.
        at: seconds since 1970.
    """

    kind: Kind
    subject: str
    message: str
    facts: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=_new_id)
    at: float = field(default_factory=time.time)

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)

    @classmethod
    def of_json(cls, kept: dict[str, Any]) -> "Event":
        """Of what was kept."""
        return cls(**{**kept, "kind": Kind(kept["kind"])})
