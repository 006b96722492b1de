"""What a forget is about to remove, kept from before it begins until it is done: whoever comes next completes it.

A journal (`forgetting/` of the home, mode 0600) holds names and words, as the stores do that it is about.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from hbaf import waiting
from hbaf.home import directory, home_folder, published
from hbaf.privacy.places import JOURNALS
from hbaf.privacy.plan import Plan
from hbaf.privacy.receipts import Receipt
from hbaf.privacy.subject import Subject
from hbaf.registry.trained_on import TrainedModel


@contextmanager
def alone(*, wait: bool = True) -> Iterator[bool]:
    """One process at a time forgets in a home; gives False where another does and `wait` is False."""
    with ExitStack() as held:
        try:
            held.enter_context(waiting.alone(directory(JOURNALS) / ".lock", seconds=waiting.FOR_EVER if wait else 0))
        except waiting.Busy:
            free = False
        else:
            free = True
        yield free


def begin(plan: Plan) -> Plan:
    """Writes the journal, then the receipt that says `begun`: killed between the two, nothing says so for ever."""
    plan = replace(plan, receipt=replace(plan.receipt, state="begun", file=plan.receipt.place))
    facts = asdict(plan)
    facts["receipt"]["file"] = str(plan.receipt.file)
    with published(_file(plan)) as beside:
        beside.touch(mode=0o600)
        beside.write_text(json.dumps(facts))
    plan.receipt.written("begun")
    return plan


def close(plan: Plan) -> None:
    """Removes the journal of what is done."""
    _file(plan).unlink(missing_ok=True)


def open_journals() -> list[Plan]:
    """What was begun and not completed, oldest first."""
    return [_read(file) for file in sorted((home_folder() / JOURNALS).glob("*.json"))]


def _file(plan: Plan) -> Path:
    assert plan.receipt.file is not None
    return directory(JOURNALS) / plan.receipt.file.name


def _read(file: Path) -> Plan:
    facts = json.loads(file.read_text())
    receipt = facts.pop("receipt")
    models = tuple(TrainedModel(**model) for model in receipt.pop("models"))
    # Where the home lies now: it may have been moved meanwhile.
    finished = Receipt(**{**receipt, "models": models, "left_in": (), "file": home_folder() / "receipts" / file.name})
    subject = Subject(**facts.pop("subject"))
    return Plan(subject, finished, **{name: tuple(values) for name, values in facts.items()})
