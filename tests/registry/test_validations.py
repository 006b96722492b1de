"""The result of a validation as a run in MLflow: once, with its pages, and without a word of the corpus."""

import json
from pathlib import Path

from hbaf.corpus.schema import load_corpus
from hbaf.parameters import ValidationParameters
from hbaf.registry.records.validations import log_validation
from hbaf.registry.tracking import MlflowClient, mlflow
from hbaf.validation import validate
from tests.registry.conftest import LINES, Prepared


def test_a_validation_is_logged_once_with_counts_and_pages(prepared: Prepared, tmp_path: Path) -> None:
    rules = ValidationParameters()
    result = validate(load_corpus(prepared.reference), rules, docs_folder=tmp_path / "docs")
    run_id = log_validation(result, rules)
    assert log_validation(result, rules) == run_id, "an equal result is no second run"
    assert log_validation(result, ValidationParameters(bad_share=0.5)) != run_id
    run = MlflowClient().get_run(run_id)
    assert run.info.run_name == f"validate-{result.corpus}"
    assert run.data.metrics["train/utterances"] == result.counts["train"]["utterances"]
    assert run.data.tags["corpus_digest"] == prepared.reference.digest
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(tmp_path / "artifacts")))
    assert json.loads((folder / "validation.json").read_text())["corpus"] == result.corpus
    assert {"index.html", "broken_rows.csv"} <= {path.name for path in (folder / "docs").iterdir()}
    logged = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert not any(line.encode() in logged for line in LINES.values())
