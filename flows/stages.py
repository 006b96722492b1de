"""How flows run the steps of `hbaf.pipeline`: each as a task, and what people read of it as an artifact."""

import functools
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from flows.private import stage
from hbaf import pipeline
from hbaf.parameters import CorpusParameters, TrainingParameters
from hbaf.pipeline import Validated
from hbaf.promotion.best_run import best_run
from hbaf.promotion.promote import judge, settle
from hbaf.promotion.verdict import Verdict
from hbaf.registry.runs import RunReference

P = ParamSpec("P")
T = TypeVar("T")


def step(function: Callable[P, T], /) -> Callable[P, T]:
    """A step as a task whose errors are shielded."""
    show = SHOWN.get(function)
    if show is None:
        return stage(function)

    @functools.wraps(function)
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        found = function(*arguments, **named)
        show(found)
        return found

    return stage(run)


def run_name() -> str:
    """Of a flow run, by what it was asked to do: `train calls demo seed 0`, `promote calls`."""
    given = flow_run.parameters
    corpus: CorpusParameters = given["corpus"]
    name = corpus.name or (corpus.root.name if corpus.root else corpus.reader)
    words = [str(flow_run.flow_name).partition("-")[0], name]
    if "training" in given:
        words += [given["recipe"], f"seed {(given['training'] or TrainingParameters()).seed}"]
    return " ".join(words)


def show_validation(found: Validated) -> None:
    """The report of a validation, as an artifact of this run."""
    result = found.result
    create_markdown_artifact(
        result.markdown(), key=f"validation-{artifact_key(result.corpus)}", description=result.summary()
    )


def show_choice(candidate: RunReference) -> None:
    """What was taken and what was passed over, in the flow's log."""
    for line in candidate.passed_over:
        get_run_logger().info(line)


def show_verdict(verdict: Verdict) -> None:
    """Every rule with value and threshold; with `rules.approval` nothing has moved yet."""
    create_markdown_artifact(
        verdict.markdown(), key=f"promotion-{artifact_key(verdict.model)}", description=verdict.title
    )
    for line in filter(None, (verdict.changed, *verdict.advice)):
        get_run_logger().info(line)


# step -> what it shows of its result
SHOWN: dict[Callable[..., Any], Callable[[Any], None]] = {
    pipeline.check: show_validation,
    best_run: show_choice,
    judge: show_verdict,
    settle: show_verdict,
}


def artifact_key(name: str) -> str:
    """A corpus name as Prefect wants the key of an artifact: lowercase letters, numbers and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "corpus"
