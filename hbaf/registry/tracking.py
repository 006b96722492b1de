"""RunLog on MLflow, and where runs are kept."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hbaf.home import home_folder, prepare_environment, without_password
from hbaf.registry import table_views
from hbaf.registry.embedded.database import HOME_TAG, artifacts, make_database
from hbaf.registry.embedded.moved_home import digest_of
from hbaf.registry.metric_names import metric_name
from hbaf.stop import clean_up

prepare_environment()  # MLflow reads its settings when it is imported

import mlflow  # noqa: E402  # after the environment is set
from mlflow.entities import (  # noqa: E402, F401  # Run: for packages that read runs
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

for _name in (
    "alembic",
    "mlflow.store.db.utils",
    "mlflow.tracking.fluent",
    "mlflow.pyfunc",
    "mlflow.utils.environment",
):
    logging.getLogger(_name).setLevel(logging.WARNING)  # database migrations and hints are noise in a run's output
logging.getLogger("mlflow.models.model").setLevel(logging.ERROR)

EXPERIMENT = "hbaf"
DESCRIPTION_TAG = "mlflow.note.content"  # what MLflow's pages show as the description of a run
DATASET_DIGEST = 36  # characters that MLflow keeps of a dataset's digest
LOCAL_PAGES = "http://127.0.0.1:5000"  # where `mlflow ui` serves them
PARAMETER_LIMIT = 6000  # characters; MLflow refuses longer values


class MlflowClient(mlflow.MlflowClient):
    """MLflow's client; makes the embedded database whole before anything else can see it."""

    def __init__(self) -> None:
        make_database(os.environ.get("MLFLOW_TRACKING_URI", ""))
        super().__init__()


def server_trouble(error: BaseException) -> str | None:
    """What to do about an MLflow server that refuses or does not answer; None for any other error."""
    if not isinstance(error, mlflow.exceptions.MlflowException):
        return None
    server = without_password(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if error.get_http_status_code() in (401, 403):
        return (
            f"MLflow: {server} does not let this user in. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
            "or MLFLOW_TRACKING_TOKEN, or ask for the right to write."
        )
    if "failed with exception" in str(error):  # so says MLflow after its own attempts to get an answer
        return f"MLflow: {server} does not answer. Start it, or set MLFLOW_TRACKING_URI (`hbaf doctor` asks it)."
    return None


class MlflowRunLog:
    """Writes to one run by its id, so that several runs in one process never mix."""

    def __init__(self, run_id: str):
        self.run_id = run_id
        self.client = MlflowClient()

    def log_parameters(self, values: Mapping[str, object]) -> None:
        """Settings of the run, as text; what is longer than MLflow takes (6000 characters) is cut."""
        self.client.log_batch(self.run_id, params=[Param(k, str(v)[:PARAMETER_LIMIT]) for k, v in values.items()])

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Adds a point to each curve; names are made fit for MLflow (`metric_name`), step None is written as 0."""
        now = int(time.time() * 1000)
        self.client.log_batch(
            self.run_id, metrics=[Metric(metric_name(k), float(v), now, step or 0) for k, v in values.items()]
        )

    def log_tags(self, values: Mapping[str, str]) -> None:
        """Sets tags of the run; one that is there is overwritten."""
        self.client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in values.items()])

    def log_corpus(self, name: str, corpus_digest: str, splits_digest: str) -> None:
        """Notes a corpus as the run's input, a dataset of MLflow: its name and digests, no row of it."""
        source = json.dumps({"corpus_digest": corpus_digest, "splits_digest": splits_digest})
        dataset = Dataset(name, corpus_digest[:DATASET_DIGEST], source_type="hbaf", source=source)
        context = InputTag("mlflow.data.context", "train and dev")
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, [context])])

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Keeps a figure as the artifact `name`, whose suffix decides the format."""
        self.client.log_figure(self.run_id, figure, name)

    def log_file(self, path: Path, folder: str = "") -> None:
        """Uploads a file as an artifact, into `folder` of the run; "" is its top."""
        self.client.log_artifact(self.run_id, str(path), folder or None)


def experiment_id(name: str = EXPERIMENT) -> str:
    """The experiment, made if absent.

    With the embedded database its artifacts lie in the home; a server decides for itself. MLflow would otherwise put
    them under the working directory.
    """
    client = MlflowClient()
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    local = os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite:")
    place = (artifacts() / name).as_uri() if local else None
    try:
        return str(client.create_experiment(name, artifact_location=place, tags=table_views.tags()))
    except mlflow.exceptions.MlflowException:
        # Another process made it between the question and the answer.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


@contextmanager
def run(
    name: str, *, tags: Mapping[str, str], experiment: str = EXPERIMENT, parent_run_id: str | None = None
) -> Iterator[MlflowRunLog]:
    """A run that ends FINISHED, or FAILED when the block raises; one of a corpus has the view of that corpus's runs."""
    client = MlflowClient()
    place = experiment_id(experiment)
    if table_views.CORPUS_TAG in tags:
        _keep_view(client, place, tags[table_views.CORPUS_TAG])
    nested = {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
    origin = prefect_origin()
    tags = {**tags, **nested, **origin, HOME_TAG: home_digest()}
    made = client.create_run(place, run_name=name, tags=tags)
    try:
        yield MlflowRunLog(made.info.run_id)
    except BaseException:
        clean_up(f"run {made.info.run_id}", lambda: client.set_terminated(made.info.run_id, "FAILED"))
        raise
    client.set_terminated(made.info.run_id)


def _keep_view(client: MlflowClient, place: str, corpus: str) -> None:
    there = client.get_experiment(place).tags
    for name, view in table_views.of_corpus(corpus).items():
        if name not in there:  # one that was changed by hand stays
            client.set_experiment_tag(place, name, view)


@contextmanager
def system_metrics(run_id: str, wanted: bool) -> Iterator[None]:
    """CPU, memory and GPU use of this process as metrics of a run, if wanted."""
    if not wanted:
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id)
    try:
        monitor.start()
        yield
    finally:
        clean_up("the thread that measures the machine", monitor.finish)


def close_interrupted(key: str, experiment: str = EXPERIMENT) -> list[str]:
    """Marks runs of this key as failed that a killed process of this home left RUNNING; call it with the run's lock.

    Returns:
        Their ids.
    """
    client = MlflowClient()
    left = client.search_runs(
        [experiment_id(experiment)],
        f"tags.\"hbaf.key\" = '{key}' and tags.\"{HOME_TAG}\" = '{home_digest()}' and attributes.status = 'RUNNING'",
    )
    for found in left:
        client.set_tag(found.info.run_id, "hbaf.interrupted", "killed; started again")
        client.set_terminated(found.info.run_id, "FAILED")
    return [found.info.run_id for found in left]


def home_digest() -> str:
    """Whose runs are ours, where many machines share a server: host and home folder, as a digest."""
    return digest_of(home_folder())


def finished_run(key: str, experiment: str = EXPERIMENT) -> str | None:
    """Id of the newest finished run with this key tag, if there is one."""
    found = MlflowClient().search_runs(
        [experiment_id(experiment)],
        f"tags.\"hbaf.key\" = '{key}' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    return found[0].info.run_id if found else None


def prefect_origin() -> dict[str, str]:
    """Tags that link back to the Prefect flow run, when there is one: its id is in the environment of deployed runs."""
    flow_run = os.environ.get("PREFECT__FLOW_RUN_ID")
    if not flow_run:
        return {}
    server = os.environ.get("PREFECT_UI_URL") or os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    server = without_password(server)
    link = {"prefect.flow_run_url": f"{server}/runs/flow-run/{flow_run}"} if server else {}
    return {"prefect.flow_run_id": flow_run, **link}


def run_address(run_id: str) -> str:
    """Where a person finds a run: its page, or the command that serves the pages and the id."""
    uri = tracking_address()
    if not uri.startswith("http"):
        return f"`{ui_command()}`, run {run_id}"
    return f"{uri}/#/experiments/{MlflowClient().get_run(run_id).info.experiment_id}/runs/{run_id}"


def view_address(view: str, experiment: str = EXPERIMENT) -> str:
    """Where a person finds a saved view of the run table: its page, after the command that serves it if need be."""
    uri = tracking_address()
    server = uri if uri.startswith("http") else LOCAL_PAGES
    page = table_views.link(server, experiment_id(experiment), view)
    return page if server == uri else f"{ui_command()}\n      {page}"


def tracking_address() -> str:
    """Where runs go, as it may be shown: without user and password."""
    return without_password(os.environ["MLFLOW_TRACKING_URI"])


def ui_command() -> str:
    """What a person types to look at the runs."""
    uri = tracking_address()
    return uri if uri.startswith("http") else f"mlflow ui --workers 1 --backend-store-uri {uri}"
