"""`promote-hbaf`: the best run of a corpus against the champion, by rules and, by setting, with a person's consent."""

import functools

from prefect import flow, pause_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.states import Completed, State
from pydantic import Field

from flows.stages import run_name, step
from hbaf import pipeline
from hbaf.parameters import CorpusParameters, PromotionParameters
from hbaf.promotion.promote import settle
from hbaf.promotion.verdict import Verdict


class Approval(RunInput):
    """What a person is asked before the alias moves; Prefect draws the form from it."""

    agree: bool = Field(False, description="Make the candidate the champion.")
    reason: str = Field("", description="Why, or why not; kept with the version.")


@flow(name="promote-hbaf", flow_run_name=run_name)
def promote_hbaf(
    corpus: CorpusParameters = CorpusParameters(),
    run: str | None = None,
    model: str | None = None,
    rules: PromotionParameters = PromotionParameters(),
    progress: bool = False,
) -> Verdict | State[Verdict]:
    """Registers a run's model and makes it the champion if it meets every rule; else the state is named Refused.

    Args:
        corpus: What the run was trained on.
        run: MLflow run id; default: of all variants, the newest search's candidate or the best on dev.
        model: Registered name; default `hbaf-<corpus>`.
        rules: What it has to show; with `approval` the run then pauses until a person resumes it.
        progress: Show progress bars.
    """
    wait = functools.partial(ask, rules.approval_hours)
    verdict = pipeline.promote(corpus, run, model=model, rules=rules, ask=wait, progress=progress, step=step)
    if verdict.promoted:
        return verdict
    # The flow did what it should: no failure, but to be seen in a list of runs.
    return Completed(name=verdict.outcome.capitalize(), message=verdict.title, data=verdict)


def ask(hours: float, verdict: Verdict) -> tuple[bool, str]:
    """Pauses the flow run until a person resumes it with the form.

    Raises:
        FlowPauseTimeout: nobody did in that time; the verdict is settled as declined.
    """
    form = Approval.with_initial_data(description=verdict.markdown())
    try:
        answer = pause_flow_run(wait_for_input=form, timeout=int(hours * 3600), poll_interval=5)
    except FlowPauseTimeout:
        step(settle)(verdict, agreed=False, reason=f"nobody answered within {hours:g} hours")
        raise
    return answer.agree, answer.reason


if __name__ == "__main__":
    promote_hbaf()
