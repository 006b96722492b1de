"""Scored conversations of the last days x the reference of their model -> findings, curves in MLflow and a page."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hbaf.corpus.schema import CorpusError, load_corpus
from hbaf.drift.checks import Findings, compare
from hbaf.drift.observations import observe
from hbaf.drift.reference import FOLDER, Reference, ReferenceMissing, make_reference
from hbaf.events.event import Event, Kind
from hbaf.events.outbox import publish
from hbaf.features.columns import extract_features
from hbaf.home import directory, home_folder
from hbaf.inbox.publish.published_scores import score_store
from hbaf.inference.predictor import Predictor
from hbaf.monitoring.page import write_monitor_page
from hbaf.monitoring.stored_vectors import stored_vectors
from hbaf.parameters import MonitorParameters
from hbaf.registry.cached_champion import champion as find_champion
from hbaf.registry.models import RegisteredModel
from hbaf.registry.records.monitoring import curves, log_look, log_report
from hbaf.registry.tracking import tracking_address
from hbaf.training.data import read_vectors

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Monitored:
    """One look at what was scored.

    Attributes:
        model: name and version, `hbaf-calls/3`.
        message: one line for people.
        page: the HTML report.
        run_id: of the curves in MLflow; "" where nothing was measured, or MLflow could not be reached.
    """

    model: str
    findings: Findings | None
    message: str
    page: Path | None
    run_id: str = ""

    @property
    def flagged(self) -> tuple[str, ...]:
        """Names of the flagged checks."""
        return tuple(check.name for check in self.findings.flagged) if self.findings else ()


def monitor_scores(
    parameters: MonitorParameters,
    *,
    model: str | None = None,
    scores: Sequence[str] = (),
    output: Path | None = None,
    now: float | None = None,
) -> Monitored:
    """Looks at what a model scored in the last days.

    Args:
        model: registered name; default: the only one with a champion.
        scores: folders of scores or published datasets; default: all that this home knows.
        output: folder for the page; default: in the home.
        now: seconds since 1970, the end of the window.

    Raises:
        hbaf.registry.models.NoModelError: no champion, or several and none named.
        ReferenceMissing: nothing to compare with, and the corpus that the model was trained on is not here.
    """
    now = time.time() if now is None else now
    chosen = find_champion(model)
    champion, away = chosen.model, chosen.champion_from == "cache"
    predictor = Predictor.load(champion.folder)
    reference = reference_of(champion, predictor)
    rows = score_store(scores).rows(champion.run_id, now - parameters.days * DAY, now)
    if rows.empty:
        message = f"{champion.label}: nothing was scored in the last {parameters.days:g} days"
        return Monitored(champion.label, None, message, None)
    vectors = stored_vectors(rows, predictor.package)
    window = observe(
        rows, reference.emotions, vectors=vectors, sketchers=reference.sketchers, known_pairs=reference.known_pairs
    )
    findings = compare(window, reference, parameters)
    message = summary(champion.label, findings, parameters)
    if away:
        message += f". {tracking_address()} cannot be reached: this check is not in its curves"
        run_id = ""
    else:
        run_id = log_look(champion, as_metrics(findings), now, {"hbaf.monitor.flagged": _names(findings)})
    folder = output or directory("monitoring", _folder_name(champion))
    names = ["expected_f1", *(f"check/{check.name}" for check in findings.checks if check.name != "expected_f1")]
    page = write_monitor_page(
        folder / "monitor.html",
        findings,
        model=champion.label,
        corpus=reference.corpus,
        since=now - parameters.days * DAY,
        now=now,
        curves={name: [] for name in names} if away else curves(champion, names),
    )
    if not away:
        log_report(run_id, page)
    monitored = Monitored(champion.label, findings, message, page, run_id)
    if monitored.flagged:
        facts = {
            "version": champion.version, "flagged": list(monitored.flagged), "mlflow_run": run_id,
            "metrics": finite(as_metrics(findings)),
        }  # fmt: skip
        publish(Event(Kind.CHANGED, champion.name, message, facts))
    return monitored


def reference_of(model: RegisteredModel, predictor: Predictor) -> Reference:
    """The one in the model's package, or else one that is made once from its corpus and kept in the home.

    Raises:
        ReferenceMissing: there is none, and the corpus is not in this home.
    """
    if (model.folder / FOLDER / "reference.json").exists():
        return Reference.load(model.folder / FOLDER)
    kept = directory("monitoring", _folder_name(model)) / FOLDER
    if (kept / "reference.json").exists():
        return Reference.load(kept)
    origin = predictor.package.facts.origin
    digest, splits = str(origin.get("corpus_digest", ""))[:12], str(origin.get("splits_digest", ""))[:8]
    folder = home_folder() / "corpora" / f"{origin.get('corpus')}-{digest}-{splits}"
    try:
        corpus = load_corpus(folder)
    except CorpusError as error:
        before = directory("monitoring") / f"{model.name}-v{model.version}" / FOLDER  # where an older hbaf kept it
        if (before / "reference.json").exists():
            return Reference.load(before)
        raise ReferenceMissing(
            f"{model.label}: its package holds no reference, and the corpus that it was trained on ({folder.name}) is "
            "not in this home. Run `hbaf monitor` once where it was trained, or train again."
        ) from error
    columns = extract_features(corpus, predictor.package.facts.features)
    reference = make_reference(predictor, corpus, read_vectors(corpus, columns))
    reference.save(kept)
    return reference


def as_metrics(findings: Findings) -> dict[str, float]:
    """For MLflow: every check, the bound above which it is flagged, and what the model is expected to reach."""
    low, high = findings.expected_f1_interval
    return {
        "utterances": findings.utterances,
        "dialogues": findings.dialogues,
        "unscored": findings.unscored,
        "flagged": len(findings.flagged),
        "expected_f1": findings.expected_f1,
        "expected_f1_low": low,
        "expected_f1_high": high,
        **{f"check/{check.name}": check.value for check in findings.checks},
        **{f"bound/{check.name}": check.threshold for check in findings.checks},
        **{f"now/{check.name}": check.now for check in findings.checks},
        **{f"share/{emotion}": share for emotion, share in findings.labels_now.items()},
    }


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Without NaN, which JSON does not know: what was not measured."""
    return {name: value for name, value in metrics.items() if not math.isnan(value)}


def summary(model: str, findings: Findings, parameters: MonitorParameters) -> str:
    """One line for people."""
    seen = f"{model}: {findings.utterances} utterances of {findings.dialogues} conversations"
    if not findings.judged:
        return f"{seen}; too few to judge (at least {parameters.min_dialogues})"
    flagged = _names(findings)
    return f"{seen}; " + (f"CHANGED: {flagged}" if flagged else "nothing has changed beyond chance and tolerance")


def as_json(result: Monitored) -> str:
    """The result for programs."""
    findings = result.findings
    message: dict[str, object] = {"model": result.model, "message": result.message, "flagged": list(result.flagged)}
    if findings is not None:
        message |= {"judged": findings.judged, "metrics": finite(as_metrics(findings))}
    return json.dumps({**message, "page": str(result.page or ""), "run": result.run_id}, indent=1)


def _names(findings: Findings) -> str:
    return ", ".join(check.name for check in findings.flagged)


def _folder_name(model: RegisteredModel) -> str:
    return f"{model.name}-{model.run_id[:12]}"
