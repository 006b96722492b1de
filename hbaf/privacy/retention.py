"""Retention by setting: what was not prepared or scored for HBAF_RETENTION (as 90d) goes when something is scored."""

import logging
import os
import re
from datetime import timedelta

from hbaf.privacy.forget import Receipt, forget
from hbaf.registry.cached_champion import unreachable

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
    said = os.environ.get(SETTING, "").strip()
    return parse_age(said, SETTING) if said else None


def apply_retention() -> Receipt | None:
    """Forgets what is older than the setting; None where there is no setting or nothing as old.

    While MLflow is away nothing goes: the receipt names the models that learned from it. The next scoring tries again.
    """
    age = retention()
    if age is None:
        return None
    if (trouble := unreachable()) is not None:
        told = "%s=%s: nothing is forgotten now, MLflow cannot be reached (%s)"
        logging.getLogger(__name__).warning(told, SETTING, os.environ[SETTING], trouble)
        return None
    if not forget(older_than=age, dry_run=True).touches_anything:
        return None
    return forget(older_than=age)
