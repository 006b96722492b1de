"""The studies of a database: which of them are about something, and their removal."""

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.engine import make_url

from hbaf.home import directory
from hbaf.search.optuna_internals import study_id


def remove_studies_of(corpus_digests: Collection[str], url: str) -> list[str]:
    """Removes the searches on these corpora, with their folders; they could not go on. Returns their names.

    Args:
        url: the studies' database.
    """

    def about(attributes: Mapping[str, Any]) -> bool:
        return attributes.get("plan", {}).get("reference", {}).get("digest") in corpus_digests

    names = remove_studies(url, about)
    for name in names:
        shutil.rmtree(directory("search", name), ignore_errors=True)
    return names


def remove_studies(url: str, about: Callable[[Mapping[str, Any]], bool]) -> list[str]:
    """Deletes the studies whose attributes say that they are about something, each with the queue of its refits.

    Args:
        url: of the database; one that does not exist yet is not made.
        about: called with a study's attributes.

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
                storage.delete_study(study_id(studies[one]))
    return wanted
