"""A saved view of MLflow's run table: trials in order of their dev score, with the searched settings beside it.

MLflow's own first view hides every metric and folds trials under their study. The view is a tag of the experiment,
which its page reads when the address names it.
"""

import json

NAME = "trials"
METRICS = ("best/weighted_f1", "best/macro_f1", "best/epoch")
PARAMETERS = (
    "training.learning_rate", "model.mu", "model.tau", "model.lambda1", "model.lambda2", "model.lambda3",
    "training.seed",
)  # fmt: skip


def tags() -> dict[str, str]:
    """Of an experiment that is to have the view; made with it, so that a view changed by hand stays."""
    state = {
        "searchFilter": "",
        "orderByKey": f"metrics.`{METRICS[0]}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [
            *("attributes.`Created`", "attributes.`Duration`"),
            *(f"metrics.`{name}`" for name in METRICS),
            *(f"params.`{name}`" for name in PARAMETERS),
        ],
    }
    return {f"mlflow.sharedViewState.{NAME}": json.dumps(state), "mlflow.experimentKind": "custom_model_development"}


def link(server: str, experiment_id: str) -> str:
    """Address of the view on an MLflow server."""
    return f"{server}/#/experiments/{experiment_id}/runs?viewStateShareKey={NAME}&workflowType=machine_learning"
