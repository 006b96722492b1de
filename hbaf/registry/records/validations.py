"""The result of a validation as a run in MLflow, beside the training runs that it belongs to."""

import hashlib
import json
import tempfile
from pathlib import Path

from hbaf.parameters import ValidationParameters
from hbaf.registry.tracking import finished_run, run
from hbaf.validation.report import ValidationResult

EXPERIMENT = "hbaf-validation"


def log_validation(result: ValidationResult, parameters: ValidationParameters, *, experiment: str = EXPERIMENT) -> str:
    """Logs a run `validate-<corpus>`: counts as metrics, the result as JSON, and its pages where they were written.

    An equal result (same corpus, same rules, same outcome) is logged once.

    Returns:
        The run's id.
    """
    facts = {name: value for name, value in result.to_json_dict().items() if name != "docs"}
    decides = {**facts, "parameters": parameters.model_dump(mode="json")}
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    known = finished_run(key, experiment)
    if known is not None:
        return known
    tags = {"hbaf.key": key, "corpus_digest": result.digest, "hbaf.valid": str(result.ok).lower()}
    with run(f"validate-{result.corpus}", tags=tags, experiment=experiment) as log:
        log.log_parameters(parameters.model_dump())
        log.log_metrics(_figures(result))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "validation.json"
            file.write_text(json.dumps(decides, indent=1))
            log.log_file(file)
        for page in sorted(result.docs.iterdir()) if result.docs else ():
            if page.is_file():  # what its owner alone may see lies in a folder
                log.log_file(page, "docs")
        return log.run_id


def _figures(result: ValidationResult) -> dict[str, float]:
    rules = result.rules
    return {
        "rules_kept": sum(rule.passed for rule in rules),
        "rules_broken": len(result.failures("critical")),
        "warnings": len(result.failures("warning")),
        "rules_not_evaluated": sum(not rule.evaluated for rule in rules),
        **{f"{split}/{name}": count for split, found in result.counts.items() for name, count in found.items()},
    }
