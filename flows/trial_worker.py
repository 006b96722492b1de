"""`trial-worker`: runs trials of a search until it is done; `train-hbaf` starts as many as it wants."""

from prefect import flow

from flows.private import shielded
from hbaf.home import prepare_environment
from hbaf.parameters import SearchParameters
from hbaf.search.plan import storage_url
from hbaf.search.worker import work


@flow(name="trial-worker")
def trial_worker(study: str, storage: str | None = None, number: int = 0) -> None:
    """Attaches to a study and runs its trials and refits until none is left.

    It checks first that it sees the same feature store and the same MLflow as the search does.

    Args:
        study: Name of the study.
        storage: Database of the study; default: HBAF_SEARCH_STORAGE in the worker's environment, or SQLite in the home.
        number: Of this worker among its fellows.
    """
    prepare_environment()
    with shielded("trial-worker"):
        work(study, storage_url(SearchParameters(storage=storage)), number=number)
