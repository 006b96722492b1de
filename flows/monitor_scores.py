"""`monitor-scores`: what was scored in the last days against what the model was trained on."""

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from flows.stages import artifact_key
from hbaf.markdown import cell, plain
from hbaf.monitoring.monitor import Monitored
from hbaf.monitoring.monitor import monitor_scores as look
from hbaf.parameters import MonitorParameters


@flow(name="monitor-scores")
def monitor_scores(
    monitor: MonitorParameters = MonitorParameters(), model: str | None = None, scores: list[str] | None = None
) -> tuple[str, ...]:
    """Looks at what the champion scored lately; what has changed beyond chance and tolerance is an event.

    Args:
        monitor: How far back, and what counts as a change.
        model: Registered model; default: the only one with a champion.
        scores: Folders of scores or published datasets; default: everything that this home scored.
    """
    found = compare(monitor, model, scores)
    get_run_logger().info(found.message)
    return found.flagged


@task
def compare(monitor: MonitorParameters, model: str | None, scores: list[str] | None) -> Monitored:
    """Compares new scores with the model's reference; the result is an artifact of this run."""
    found = look(monitor, model=model, scores=scores or ())
    create_markdown_artifact(markdown(found), key=f"monitor-{artifact_key(found.model)}", description=found.message)
    return found


def markdown(found: Monitored) -> str:
    """The artifact of this flow run."""
    if found.findings is None:
        return plain(found.message)
    lines = [f"**{plain(found.message)}**", "", "| check | distance | bound | |", "|---|---|---|---|"]
    lines += [
        f"| {cell(check.name)} | {check.value:.3f} | {check.threshold:.3f} | {'**changed**' if check.flagged else ''} |"
        for check in found.findings.checks
    ]
    low, high = found.findings.expected_f1_interval
    lines += [
        "",
        f"Expected weighted F1 {found.findings.expected_f1:.3f} ({low:.3f} to {high:.3f}), report {found.page}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    monitor_scores()
