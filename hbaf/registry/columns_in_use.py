"""Which feature columns something refers to: runs in MLflow with their model packages, and imports."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from feature_store.manifest import ColumnInfo
from hbaf.features.finetuned import KIND as FINE_TUNED
from hbaf.features.imported.facts import KIND as IMPORTED
from hbaf.features.selection.selected import SELECTED
from hbaf.registry.tracking import MlflowClient

PAGE = 1000


def columns_in_use(columns: Sequence[ColumnInfo]) -> dict[str, str]:
    """Digest -> what refers to it, for those columns that something refers to.

    A run names its columns in its tags. Imported columns count as used: nobody can compute them anew. Selected columns,
    which scoring keeps, are used as long as the run that made the selection is in MLflow, and the columns of a
    fine-tuned encoder's folds as long as a run names one of them.
    """
    runs, digests = _of_runs()
    used: dict[str, str] = {}
    encoders = {column.identity.get("encoder") for column in columns if column.digest in digests}
    for column in columns:
        if column.digest in digests:
            used[column.digest] = f"run {digests[column.digest][:12]}"
        elif column.identity.get("name") == IMPORTED:
            used[column.digest] = "imported"
        elif column.identity.get("name") == FINE_TUNED and column.identity.get("encoder") in encoders:
            used[column.digest] = "fold of a fine-tuned encoder"
        elif column.identity.get("name") == SELECTED and column.identity.get("run") in runs:
            used[column.digest] = f"scores of run {str(column.identity['run'])[:12]}"
    return used


def unused_columns(columns: Sequence[ColumnInfo], used: Mapping[str, str], grace_seconds: float) -> list[ColumnInfo]:
    """Columns that nothing refers to and that nobody wrote to within the grace time."""
    youngest = datetime.now(UTC) - timedelta(seconds=grace_seconds)
    return [
        column
        for column in columns
        if column.digest not in used and (column.changed is None or column.changed <= youngest)
    ]


def _of_runs() -> tuple[set[str], dict[str, str]]:
    """Ids of all runs that are not deleted, and column digest -> a run that names it."""
    client = MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs: set[str] = set()
    digests: dict[str, str] = {}
    token = None
    while True:
        page = client.search_runs(experiments, max_results=PAGE, page_token=token)
        for run in page:
            runs.add(run.info.run_id)
            for tag, value in run.data.tags.items():
                if tag.endswith("_column"):
                    digests[value] = run.info.run_id
        token = page.token
        if not token:
            return runs, digests
