"""A verb and a flow of one name run the same steps with the same arguments, for every recipe."""

import functools
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from prefect.logging import disable_run_logger

import flows.compare_systems
import flows.extract_features
import flows.finetune_encoder
import flows.promote_hbaf
import flows.score_corpus
import flows.train_hbaf
import flows.validate_corpus
from hbaf import pipeline
from hbaf.cli import main
from hbaf.corpus.schema import CorpusReference
from hbaf.parameters import RECIPES, FeatureParameters
from hbaf.promotion.verdict import Verdict
from hbaf.registry.runs import RunReference
from hbaf.scoring.score import Scores
from hbaf.training.finetuning.finetune import EncoderReference

Calls = list[tuple[str, dict[str, Any]]]
REFERENCE = CorpusReference(Path("corpus"), "example", "digest", "splits")
RUN = RunReference("run", Path("package"), "models:/m", 0.5)
VERDICT = Verdict("waiting", "hbaf-example", "1", "", 0.5, 0.4, "floor", "every rule is met", "gate")
ENCODER = EncoderReference("finetuned:a", "a", Path("encoder"), "text", {"weighted_f1": 0.5})
REFERENCE = CorpusReference(Path("corpus"), "example", "digest", "splits")
# step -> what it gives here; nothing is computed
GIVES: dict[str, Any] = {
    "hbaf.pipeline.prepare": REFERENCE,
    "hbaf.pipeline.check": MagicMock(run_id="validation", reference=REFERENCE),
    "hbaf.pipeline.extract_columns": MagicMock(),
    "hbaf.registry.runs.train_and_log": RUN,
    "hbaf.promotion.promote.register_once": "1",
    "hbaf.search.run.run_study": MagicMock(lines=lambda: []),
    "hbaf.promotion.best_run.best_run": RUN,
    "hbaf.promotion.promote.judge": VERDICT,
    "hbaf.promotion.promote.settle": replace(VERDICT, outcome="promoted"),
    "hbaf.scoring.score.score_corpus": Scores(Path("scores"), 1, 1, 0, 0, "hbaf-example/1", None),
    "hbaf.privacy.retention.apply_retention": None,
    "hbaf.registry.records.encoders.finetune_and_log": ENCODER,
    "hbaf.comparison.bench.cells_of": (),
    "hbaf.comparison.report.run_comparison": MagicMock(failures=[]),
}
SHOWN_ONLY = {"progress", "say"}  # how it looks, not what is done
MODULES = (
    flows.compare_systems, flows.extract_features, flows.finetune_encoder, flows.promote_hbaf, flows.score_corpus,
    flows.train_hbaf, flows.validate_corpus,
)  # fmt: skip
PAIRS: list[tuple[list[str], Callable[..., Any], dict[str, Any]]] = [
    (["validate"], flows.validate_corpus.validate_corpus, {}),
    (["promote"], flows.promote_hbaf.promote_hbaf, {}),
    (["score", "--purpose", "research"], flows.score_corpus.score_corpus, {"purpose": "research"}),
    (["finetune"], flows.finetune_encoder.finetune_encoder, {}),
    (["compare"], flows.compare_systems.compare_systems, {}),
    (["search", "--trials", "4"], flows.train_hbaf.train_hbaf, {"search": {"trials": 4}}),
    (["extract"], flows.extract_features.extract_features, {}),
    (["train"], flows.train_hbaf.train_hbaf, {}),
    *((["extract", "--recipe", name], flows.extract_features.extract_features, {"recipe": name}) for name in RECIPES),
    *((["train", "--recipe", name], flows.train_hbaf.train_hbaf, {"recipe": name}) for name in RECIPES),
]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The steps that were run, with every argument, defaults included."""
    ran: Calls = []

    def recorded(place: str) -> Callable[..., Any]:
        function = pkgutil.resolve_name(place)

        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            bound = inspect.signature(function).bind(*arguments, **named)
            bound.apply_defaults()
            given = {name: value for name, value in bound.arguments.items() if name not in SHOWN_ONLY}
            ran.append((function.__name__, given))
            return GIVES[place]

        return run

    for place in GIVES:
        monkeypatch.setattr(place, recorded(place))
    for module in MODULES:
        monkeypatch.setattr(module, "step", pipeline.plainly)
    features = MagicMock(facts=MagicMock(features=FeatureParameters(audio="mfcc")))
    monkeypatch.setattr("hbaf.training.package.ModelPackage.load", lambda folder: features)
    monkeypatch.setattr("flows.train_hbaf.report", lambda *_: None)
    monkeypatch.setattr("flows.compare_systems.show", lambda *_: None)
    monkeypatch.setattr("hbaf.verbs.comparison.compare.show", lambda _: None)
    monkeypatch.setattr("hbaf.verbs.options.remarks", lambda *_: ())
    monkeypatch.setattr("hbaf.validation.terminal.counts", lambda _: "")
    monkeypatch.setattr("hbaf.validation.terminal.findings", lambda _, every_rule: "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///nothing.db")  # as `prepare` would
    monkeypatch.setattr("hbaf.search.worker.end_in_order", lambda: None)
    monkeypatch.setattr(CorpusReference, "corpus", MagicMock())  # with words and sound
    for place in ("hbaf.registry.tracking", "flows.train_hbaf"):  # where a run can be seen: nothing is logged
        monkeypatch.setattr(f"{place}.view_address", lambda *_: "")
    return ran


@pytest.mark.parametrize(("command", "flow", "parameters"), PAIRS, ids=[" ".join(command) for command, _, _ in PAIRS])
def test_a_verb_and_a_flow_do_the_same(
    command: Sequence[str], flow: Any, parameters: dict[str, Any], calls: Calls
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command[0], "example", *command[1:]])
    assert stopped.value.code == 0
    by_verb, calls[:] = list(calls), []
    with disable_run_logger():
        flow.fn(**flow.validate_parameters(parameters))
    assert calls == by_verb
    assert calls[0][0] == "prepare"
    assert len(calls) > 1


def test_a_training_does_the_steps_before_it_and_registers(calls: Calls) -> None:
    pipeline.train("example", "demo")
    assert [name for name, _ in calls] == ["prepare", "check", "extract_columns", "train_and_log", "register_once"]


def test_what_breaks_a_critical_rule_is_not_learned_from(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = MagicMock()
    broken.result.raise_if_failed.side_effect = ValueError("the corpus failed validation")
    monkeypatch.setitem(GIVES, "hbaf.pipeline.check", broken)
    for learn in (pipeline.extract, pipeline.train, pipeline.search, pipeline.finetune, pipeline.compare):
        calls.clear()
        with pytest.raises(ValueError, match="failed validation"):
            learn()
        assert [name for name, _ in calls] == ["prepare", "check"]


def test_without_anybody_to_ask_a_verdict_waits(calls: Calls) -> None:
    asked = pipeline.PromotionParameters(approval=True)
    assert pipeline.promote(rules=asked).outcome == "waiting"
    assert calls[-1][0] == "judge"
    assert pipeline.promote(rules=asked, ask=lambda verdict: (False, "not yet")).outcome == "promoted"
    assert calls[-1][1]["agreed"] is False
    assert calls[-1][1]["reason"] == "not yet"
