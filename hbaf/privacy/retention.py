"""Retention by setting: what was not prepared or scored for HBAF_RETENTION (as 90d) goes when something is scored.

Every scoring asks; what forgets is imported where there is something to forget, since it takes seconds.
"""

import logging
import os
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from hbaf.privacy.places import is_interrupted

if TYPE_CHECKING:
    from hbaf.privacy.receipts import Receipt

SETTING = "HBAF_RETENTION"
UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class AgeError(ValueError):
    """An age is not understood."""


def parse_age(text: str, named: str = "--older-than") -> timedelta:
    """`12h`, `90d`, `8w` -> a length of time.

    Raises:
        AgeError: it is of another form.
    """
    found = re.fullmatch(r"([1-9]\d*)([hdw])", text.strip())
    if found is None:
        raise AgeError(f"{named} {text}: not of the form 12h, 90d or 8w.")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def retention() -> timedelta | None:
    """What the setting says; None without one.

    Raises:
        AgeError: it is not understood. Nothing is kept longer than wanted because of a misprint.
    """
    value = os.environ.get(SETTING, "").strip()
    return parse_age(value, SETTING) if value else None


def apply_retention() -> "Receipt | None":
    """Completes what an interrupted `forget` left undone, then forgets what is older than the setting.

    While MLflow is away nothing goes: the receipt names the models that learned from it. The next scoring tries again.

    Returns:
        What went by age; None where there is no setting or nothing as old.
    """
    age = retention()
    undone = is_interrupted()
    if age is None and not undone:
        return None
    from hbaf.inbox.ledger.database import DATABASE, databases_used
    from hbaf.inbox.publish.published_scores import score_store
    from hbaf.privacy.forget import complete_interrupted, forget
    from hbaf.privacy.subject import is_anything_older
    from hbaf.registry.cached_champion import unreachable

    if (trouble := unreachable()) is not None:
        why = f"{SETTING}={os.environ[SETTING]}" if age is not None else "a `forget` that was interrupted"
        logging.getLogger(__name__).warning("%s: nothing is forgotten now, MLflow cannot be reached (%s)", why, trouble)
        return None
    if databases := databases_used():
        text = "%s: nothing is forgotten now, scores also went to %s and %s names another database, or none"
        logging.getLogger(__name__).warning(text, SETTING, ", ".join(databases), DATABASE)
        return None
    if undone:
        complete_interrupted()
    if age is None or not is_anything_older(score_store(), time.time() - age.total_seconds()):
        return None
    return forget(older_than=age)
