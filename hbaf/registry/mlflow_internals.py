"""What is used of MLflow that it does not document, as seen in MLflow 3.17.2; nobody else touches such names.

`tests/architecture/test_internals.py` holds both.
"""

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

SEEN_IN = "3.17.2"


def close_database(client: MlflowClient) -> None:
    """Ends every connection of a client that writes to a database itself, so that its file can be renamed."""
    for store in (client._tracking_client.store, client._get_registry_client().store):
        assert isinstance(store, SqlAlchemyStore | RegistryStore)
        store.engine.dispose()


def forget_run(client: MlflowClient, run: Run) -> None:
    """Takes a run's files away, and its rows where the database is ours; a server only marks it as deleted."""
    artifacts_at(run.info.artifact_uri).delete_artifacts()
    client.delete_run(run.info.run_id)
    store = client._tracking_client.store
    if isinstance(store, SqlAlchemyStore):
        store._hard_delete_run(run.info.run_id)


def artifacts_at(uri: str) -> ArtifactRepository:
    """The files below an address, as MLflow itself reaches them."""
    return get_artifact_repository(uri)
