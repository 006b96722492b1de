"""The list of every use of a test split, as a table in MLflow: whoever reads a score can count the uses behind it.

The home's `test-looks.jsonl` is written first, by `hbaf.training.evaluate`, and always; this copies it. When MLflow
cannot be reached the copy is late, never the list.
"""

import json
import logging
import socket

from hbaf.files import read_lines
from hbaf.home import home_folder
from hbaf.registry.tracking import HOME_TAG, MlflowClient, experiment_id, home_digest
from hbaf.stop import check
from hbaf.waiting import alone

EXPERIMENT = "hbaf-test-looks"
TABLE = "test-looks.json"

log = logging.getLogger(__name__)


def share_test_looks() -> int | None:
    """Writes the home's list to MLflow: one run per home in the experiment `hbaf-test-looks`, the table its artifact.

    Returns:
        How many uses the table has; None when MLflow could not be reached: the next call makes up for it.
    """
    path = home_folder() / "test-looks.jsonl"
    if not path.exists():
        return 0
    try:
        with alone(path.with_name(".test-looks.lock")):
            looks = read_lines(path)
            client, run_id = MlflowClient(), _ledger_run()
            # The whole table each time: what a break in MLflow kept out comes with the next use.
            columns = list(dict.fromkeys(name for look in looks for name in look))
            table = {"columns": columns, "data": [[look.get(name, "") for name in columns] for look in looks]}
            client.log_dict(run_id, table, TABLE)
            client.set_tag(run_id, "mlflow.loggedArtifacts", json.dumps([{"path": TABLE, "type": "table"}]))
            client.log_metric(run_id, "looks", len(looks), step=len(looks))
            client.set_terminated(run_id)
        return len(looks)
    except Exception as error:  # the database, the network, the disk: none of them may cost the score just computed
        check(error)
        log.warning("the list of uses of test splits is kept in %s; MLflow did not take it (%s)", path, error)
        return None


def _ledger_run() -> str:
    client, experiment = MlflowClient(), experiment_id(EXPERIMENT)
    found = client.search_runs([experiment], f"tags.\"{HOME_TAG}\" = '{home_digest()}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {HOME_TAG: home_digest()}
    return str(client.create_run(experiment, run_name=f"test looks of {socket.gethostname()}", tags=tags).info.run_id)
