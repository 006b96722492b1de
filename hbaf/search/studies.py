"""The studies of a database: which of them are about something, and their removal."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.engine import make_url


def remove_studies(url: str, about: Callable[[Mapping[str, Any]], bool]) -> list[str]:
    """Deletes the studies whose attributes say that they are about something, each with the queue of its refits.

    Args:
        url: of the database; one that does not exist yet is not made.
        about: told a study's attributes.

    Returns:
        The names of the studies.
    """
    place = make_url(url)
    if place.get_backend_name() == "sqlite" and not Path(place.database or "").exists():
        return []
    storage = optuna.storages.RDBStorage(url)
    studies = {study.study_name: study for study in storage.get_all_studies()}
    wanted = [name for name, study in studies.items() if about(study.user_attrs)]
    for name in wanted:
        for one in (name, f"{name}.refit"):
            if one in studies:
                storage.delete_study(studies[one]._study_id)
    return wanted
