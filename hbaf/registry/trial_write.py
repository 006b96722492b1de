"""One small write to MLflow, removed again: does it take what a training run will send."""

import os
import tempfile
import uuid
from pathlib import Path

from hbaf.registry.mlflow_internals import artifacts_at
from hbaf.registry.tracking import EXPERIMENT, MlflowClient

NO_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


def trial_write() -> str:
    """Makes and removes a registered model and an artifact.

    Returns:
        Where artifacts go.

    Raises:
        Exception: whatever database, server or artifact store says.
    """
    before = {name: os.environ.get(name) for name in NO_PATIENCE}
    os.environ.update(NO_PATIENCE)  # the doctor is asked by somebody who waits
    name = f"hbaf-doctor-{uuid.uuid4().hex[:12]}"
    try:
        client = MlflowClient()
        client.create_registered_model(name)
        client.delete_registered_model(name)
        experiment = client.get_experiment_by_name(EXPERIMENT) or client.get_experiment("0")
        place = str(experiment.artifact_location)
        repository = artifacts_at(f"{place.rstrip('/')}/{name}")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "probe.txt"
            file.write_text("probe")
            repository.log_artifact(str(file))
        repository.delete_artifacts()
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
    return place
