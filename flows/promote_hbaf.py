"""`promote-hbaf`: the best run of a corpus against the champion, by rules and, by setting, with a person's consent."""

from prefect import flow, get_run_logger, pause_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from pydantic import Field

from flows import stages
from hbaf.parameters import CorpusParameters, PromotionParameters
from hbaf.promotion.best_run import best_run
from hbaf.promotion.verdict import Verdict
from hbaf.training.package import ModelPackage


class Approval(RunInput):
    """What a person is asked before the alias moves; Prefect draws the form from it."""

    agree: bool = Field(False, description="Make the candidate the champion.")
    reason: str = Field("", description="Why, or why not; kept with the version.")


@flow(name="promote-hbaf")
def promote_hbaf(
    corpus: CorpusParameters = CorpusParameters(),
    run: str | None = None,
    model: str | None = None,
    rules: PromotionParameters = PromotionParameters(),
    progress: bool = False,
) -> Verdict:
    """Registers a run's model and makes it the champion if it meets every rule.

    Args:
        corpus: What the run was trained on.
        run: MLflow run id; default: of all variants, the newest search's candidate or the best on dev.
        model: Registered name; default `hbaf-<corpus>`.
        rules: What it has to show; with `approval` the run then pauses until a person resumes it.
        progress: Show progress bars.
    """
    reference = stages.prepare(corpus, True, progress)
    candidate = best_run(reference, run, margin=rules.search_margin)
    say = get_run_logger().info
    for line in candidate.passed_over:
        say(line)
    features = ModelPackage.load(candidate.package).facts.features
    columns = stages.extract(reference, features, progress)
    verdict = stages.decide(candidate, reference, columns, model, rules)
    for line in (verdict.changed, *verdict.advice):
        if line:
            say(line)
    if verdict.outcome != "waiting":
        return verdict
    form = Approval.with_initial_data(description=verdict.markdown())
    try:
        answer = pause_flow_run(wait_for_input=form, timeout=int(rules.approval_hours * 3600), poll_interval=5)
    except FlowPauseTimeout:
        stages.settle(verdict, False, f"nobody answered within {rules.approval_hours:g} hours")
        raise
    return stages.settle(verdict, answer.agree, answer.reason)


if __name__ == "__main__":
    promote_hbaf()
