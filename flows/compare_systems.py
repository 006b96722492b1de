"""`compare-systems`: systems x seeds x corpora x representations, with intervals and paired tests."""

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from flows import stages
from flows.validate_corpus import validate_corpus
from hbaf.comparison.bench import cells_of
from hbaf.comparison.pages.render import as_markdown
from hbaf.comparison.report import run_comparison
from hbaf.corpus.schema import CorpusReference
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
    references = [validate_corpus(corpus, progress=progress) for corpus in corpora]
    return compare(references, comparison, changes, progress)


@task
def compare(
    references: list[CorpusReference],
    comparison: ComparisonParameters,
    changes: dict[str, dict[str, Any]],
    progress: bool,
) -> dict[str, float]:
    """Runs every cell of the comparison and writes its tables."""
    logger = get_run_logger()
    cells = cells_of(references, comparison, changes, progress=progress)
    report = run_comparison(
        cells, comparison, changes, say=lambda said, count, of: logger.info("%d of %d: %s", count, of, said)
    )
    text = [as_markdown(report.rows)]
    text += [f"# {title}\n\n{as_markdown(rows)}" for _, title, rows in report.tables() if rows]
    if report.parent_run_id:
        text.append(f"MLflow: {run_address(report.parent_run_id)}")
    key = stages.artifact_key("compare-" + "-".join(reference.name for reference in references))
    create_markdown_artifact("\n\n".join(text), key=key, description="Compared systems")
    return {f"{row.cell}, {row.system}": row.f1 for row in report.rows if row.seeds}


if __name__ == "__main__":
    compare_systems()
