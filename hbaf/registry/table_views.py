"""Saved views of MLflow's run table: the trials of a search, and the runs of one corpus beside their floors.

MLflow's own first view hides every metric, folds trials under their study and ranks runs of all corpora together. A
view is a tag of the experiment, which its page reads when the address names it.
"""

import hashlib
import json
import re
from collections.abc import Sequence

TRIALS = "trials"
METRICS = ("best/weighted_f1", "best/macro_f1", "best/epoch")
SEARCHED = (
    "training.learning_rate", "model.mu", "model.tau", "model.lambda1", "model.lambda2", "model.lambda3",
    "training.seed",
)  # fmt: skip
FLOORS = ("floor/majority/weighted_f1", "floor/logistic_regression/weighted_f1")
TOLD_APART_BY = ("model.variant", "training.recipe", "training.seed", "features.audio", "features.text")
CORPUS_TAG = "hbaf.corpus"


def tags() -> dict[str, str]:
    """Of an experiment that is made: the view of its trials."""
    return {_tag(TRIALS): _state("", METRICS, SEARCHED), "mlflow.experimentKind": "custom_model_development"}


def of_corpus(corpus: str) -> dict[str, str]:
    """Tags of an experiment with runs of a corpus: the view of these alone, the best on dev first."""
    quote = '"' if "'" in corpus else "'"  # MLflow's filters know no escape
    wanted = f"tags.`{CORPUS_TAG}` = {quote}{corpus}{quote}"
    return {_tag(view_of(corpus)): _state(wanted, (METRICS[0], *FLOORS, *METRICS[1:]), TOLD_APART_BY)}


def view_of(corpus: str) -> str:
    """Name of a corpus's view, fit for an address."""
    plain = re.fullmatch(r"[\w.-]{1,60}", corpus, re.ASCII)
    return f"runs-{corpus if plain else hashlib.sha256(corpus.encode()).hexdigest()[:16]}"


def link(server: str, experiment_id: str, view: str = TRIALS) -> str:
    """Address of a view on an MLflow server."""
    return f"{server}/#/experiments/{experiment_id}/runs?viewStateShareKey={view}&workflowType=machine_learning"


def _tag(view: str) -> str:
    return f"mlflow.sharedViewState.{view}"


def _state(search: str, metrics: Sequence[str], parameters: Sequence[str]) -> str:
    state = {
        "searchFilter": search,
        "orderByKey": f"metrics.`{METRICS[0]}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [
            *("attributes.`Created`", "attributes.`Duration`"),
            *(f"metrics.`{name}`" for name in metrics),
            *(f"params.`{name}`" for name in parameters),
        ],
    }
    return json.dumps(state)
