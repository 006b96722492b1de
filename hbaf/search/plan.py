"""A search with its log in MLflow: the plan that every worker reads, and what is shown when it ends."""

import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from feature_store.files import Files
from hbaf.corpus.schema import CorpusReference
from hbaf.features.columns import Columns, names
from hbaf.features.own_class import check_named
from hbaf.home import directory
from hbaf.parameters import FeatureParameters, ModelParameters, SearchParameters, TrainingParameters
from hbaf.registry.runs import digests, flat, run_key, versions
from hbaf.registry.tracking import (
    EXPERIMENT,
    HOME_TAG,
    MlflowClient,
    experiment_id,
    home_digest,
    mlflow,
    prefect_origin,
)
from hbaf.search.space import SearchError, SearchSpace, search_space
from hbaf.search.study import (
    Budget,
    SharedStudy,
    enqueue,
    open_study,
)  # fmt: skip

STORAGE_VARIABLE = "HBAF_SEARCH_STORAGE"
Stage = Literal["search", "refit"]
STAGES: tuple[Stage, ...] = ("search", "refit")


class StudyPlan(BaseModel):
    """Everything that a worker needs; kept in the study itself, so a worker needs its name and database alone.

    Attributes:
        key: of what is searched on what data: a study goes on only with the same.
        token: written to the feature store and to MLflow, to be read back by every worker.
        deadline: seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    key: str
    experiment: str
    parent_run_id: str
    token: str
    deadline: float | None
    reference: CorpusReference
    columns: Columns
    features: FeatureParameters
    model: ModelParameters
    training: TrainingParameters
    search: SearchParameters

    def space(self) -> SearchSpace:
        """The ranges that are searched, around this plan's settings of model and training."""
        return search_space(self.model, self.training, self.search.space)

    def study_name(self, stage: Stage) -> str:
        """The study's name in the database; the refits have a study of their own, `<name>.refit`."""
        return self.study if stage == "search" else f"{self.study}.refit"

    def folder(self) -> Path:
        """Checkpoints of trials under way, and workers' logs."""
        return directory("search", self.study)

    def open(self, stage: Stage, storage: str, **settings: Any) -> SharedStudy:
        """The study of a stage, with its budget."""
        budget = Budget(self.search.trials or None, self.deadline)
        if stage == "refit":
            budget = Budget(None, queued_only=True)
        search = self.search.model_copy(update={"prune": self.search.prune and stage == "search"})
        return open_study(
            self.study_name(stage), storage, search, budget=budget, on_stale=fail_run, **settings,
        )  # fmt: skip


def storage_url(search: SearchParameters) -> str:
    """The study's database: as set, as the environment says, or SQLite in the home."""
    return search.storage or os.environ.get(STORAGE_VARIABLE) or f"sqlite:///{directory('search') / 'studies.db'}"


def begin_study(
    reference: CorpusReference,
    columns: Columns,
    features: FeatureParameters,
    model: ModelParameters,
    training: TrainingParameters,
    search: SearchParameters,
    *,
    experiment: str = EXPERIMENT,
) -> StudyPlan:
    """Makes a study and its parent run, or goes on with the one of this name; queues the starting values as trial 0.

    Raises:
        SearchError: a study of this name searches something else.
    """
    settings = {"features": features, "model": model, "training": training}
    space = search_space(model, training, search.space)
    ranges = {name: [r.low, r.high, r.log] for name, r in space.ranges.items()}
    frozen = {"features": features, "model": space.model, "training": space.training}
    key = run_key(reference, columns, frozen) + json.dumps(ranges, sort_keys=True)
    key += (
        f" folds {search.folds}, seed {search.seed}" if search.folds > 1 else ""
    )  # scores of others cannot be compared
    short = run_key(reference, columns, settings)[:8]
    parts = f"-{search.folds}-folds" if search.folds > 1 else ""
    name = search.study or f"{reference.name}-{model.variant}-{training.recipe}-{short}{parts}"
    url = storage_url(search)
    study = open_study(name, url, search, create=True)
    known = study.user_attrs.get("plan")
    before = StudyPlan.model_validate(known) if known else None
    if before is not None and before.key != key:
        raise SearchError(
            f"{name}: a study of this name exists, of other data, settings or ranges. Give another name "
            "(`--study NAME`), or repeat the settings that it was begun with."
        )
    token = uuid.uuid4().hex
    plan = StudyPlan(
        study=name, key=key, experiment=experiment, token=token, reference=reference, columns=columns,
        features=features, model=space.model, training=space.training, search=search,
        deadline=None if search.hours is None else time.time() + 3600 * search.hours,
        parent_run_id=_parent_run(name, experiment, before, reference, columns, token, settings, search),
    )  # fmt: skip
    Files(columns.audio.store_url).write(token_file(name), token.encode())
    if not study.get_trials(deepcopy=False):
        enqueue(study, space.start())
    open_study(plan.study_name("refit"), url, search, create=True)
    # Last: a plan that can be read is whole.
    study.set_user_attr("plan", plan.model_dump(mode="json", exclude={"search": {"storage"}}))
    return plan


def read_plan(name: str, storage: str) -> StudyPlan:
    """The plan of a study.

    Raises:
        SearchError: there is no such study, or it was not begun by hbaf.
    """
    found = open_study(name, storage, SearchParameters()).user_attrs.get("plan")
    if found is None:
        raise SearchError(f"{name}: this study holds no plan of hbaf's. Begin one: `hbaf search`.")
    plan = StudyPlan.model_validate(found)
    check_named(names(plan.features).values(), None, f"the plan of study {name}")
    return plan


def token_file(study: str) -> str:
    """Path in the feature store of the token that proves to a worker that it reads the search's own store."""
    return f"search-tokens/{study}"


def _parent_run(
    name: str,
    experiment: str,
    before: StudyPlan | None,
    reference: CorpusReference,
    columns: Columns,
    token: str,
    settings: dict[str, Any],
    search: SearchParameters,
) -> str:
    client = MlflowClient()
    tags = {"hbaf.search.token": token, **prefect_origin()}
    if before is not None:
        try:
            client.update_run(before.parent_run_id, status="RUNNING")
            for tag in tags:
                client.set_tag(before.parent_run_id, tag, tags[tag])
            return before.parent_run_id
        except mlflow.exceptions.MlflowException:
            pass  # another MLflow than before: the study goes on, its runs so far stay where they are
    commit = versions()["versions"].get("commit")
    tags |= {"hbaf.role": "study", "hbaf.study": name, HOME_TAG: home_digest(), **digests(reference, columns)}
    tags |= {"mlflow.source.git.commit": commit} if commit else {}
    made = client.create_run(experiment_id(experiment), run_name=f"search {name}", tags=tags)
    for parameter, value in (flat(settings) | flat({"search": search})).items():
        if parameter != "search.storage":  # it may hold a password
            client.log_param(made.info.run_id, parameter, str(value)[:500])
    return str(made.info.run_id)


def fail_run(notes: Mapping[str, Any]) -> None:
    """Shows the run of a trial that was given up as failed: its own worker can no longer say so."""
    run_id = notes.get("mlflow_run")
    if run_id:
        client = MlflowClient()
        client.set_tag(run_id, "hbaf.interrupted", "its worker died or was stopped; tried again once")
        client.set_terminated(run_id, "FAILED")
