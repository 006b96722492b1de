"""`compare-systems`: systems x seeds x corpora x representations, with intervals and paired tests."""

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from flows.stages import artifact_key, step
from hbaf import pipeline
from hbaf.comparison.pages.render import as_markdown
from hbaf.comparison.reported import Report
from hbaf.parameters import ComparisonParameters, CorpusParameters
from hbaf.registry.tracking import run_address


@flow(name="compare-systems")
def compare_systems(
    corpora: tuple[CorpusParameters, ...] = (CorpusParameters(),),
    comparison: ComparisonParameters = ComparisonParameters(),
    changes: dict[str, dict[str, Any]] = {},  # noqa: B006  # Prefect's form shows it, nothing changes it
    progress: bool = False,
) -> dict[str, float]:
    """Compares systems on the same batches, selection rule and budget; what ran before is not run again.

    Args:
        corpora: Where the conversations come from.
        comparison: Which systems, seeds and representations.
        changes: Settings over the recipe, by stage: {"model": {"dim": 64}}.
        progress: Show progress bars.

    Returns:
        System (and corpus, where there are several) -> weighted F1 on test.
    """
    found = pipeline.compare(corpora, comparison, changes, say=say, progress=progress, step=step)
    show(found.report, "-".join(reference.name for reference in found.references))
    return {f"{row.cell}, {row.system}": row.f1 for row in found.report.rows if row.seeds}


def say(message: str, count: int, of: int) -> None:
    """Tells how far the comparison is, in the flow's log."""
    get_run_logger().info("%d of %d: %s", count, of, message)


@task
def show(report: Report, name: str) -> None:
    """The tables of a comparison, as an artifact of this run."""
    text = [as_markdown(report.rows)]
    text += [f"# {title}\n\n{as_markdown(rows)}" for _, title, rows in report.tables() if rows]
    if report.parent_run_id:
        text.append(f"MLflow: {run_address(report.parent_run_id)}")
    key = artifact_key(f"compare-{name}")
    create_markdown_artifact("\n\n".join(text), key=key, description="Compared systems")


if __name__ == "__main__":
    compare_systems()
