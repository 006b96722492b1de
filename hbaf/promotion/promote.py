"""Candidate against champion by rules, on dialogues that neither fit nor search has seen; then the alias moves, or not.

`judge` measures and moves nothing; `settle` moves the alias. Between the two a person may be asked.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from hbaf.corpus.schema import Corpus, CorpusReference, Split
from hbaf.events.event import Event, Kind
from hbaf.events.outbox import deliver, publish
from hbaf.features.columns import Columns, extract_features
from hbaf.parameters import PromotionParameters
from hbaf.promotion.aliases import CHALLENGER, PromotionConflict, make_champion, turn, version_with
from hbaf.promotion.card import keep_figures, measure, publish_card
from hbaf.promotion.next_steps import after_floors
from hbaf.promotion.rules import Rule, against_champion, against_floors, of_operation, rules_changed
from hbaf.promotion.seen import dialogues_learned_from
from hbaf.promotion.verdict import VERDICT_TAG, Verdict
from hbaf.registry.models import CHAMPION, NoModelError, RegisteredModel, find_model, load_package, register
from hbaf.registry.records.test_looks import share_test_looks
from hbaf.registry.runs import RunReference
from hbaf.registry.tracking import MlflowClient
from hbaf.training.data import SplitError, Vectors, load_split, read_vectors
from hbaf.training.evaluate import SplitPredictions
from hbaf.training.package import ModelPackage
from hbaf.training.quality.floors import fit_floors, load_floors
from hbaf.training.quality.gate import (
    gate_predictions,
    gate_split,
    of_dialogues,
    predictions_beside,
    utterances_per_second,
)

NAN = float("nan")
NOTES = {
    "gate": "decided on dialogues set aside at assignment, which neither fit nor search has seen",
    "test": "no gate split large enough (the corpus brings its own splits, is small, or has `gate_share` 0): decided "
    "on the test split, and this use is in the list of its uses",
}


def model_name(corpus: str) -> str:
    """Registered models are named by the corpus that they were trained on."""
    return f"hbaf-{corpus}"


def judge(
    candidate: RunReference,
    reference: CorpusReference,
    columns: Columns,
    *,
    name: str | None = None,
    rules: PromotionParameters = PromotionParameters(),  # noqa: B008  # frozen
) -> Verdict:
    """Holds a candidate against the champion. The verdict is `waiting` where every rule is met, and moves no alias.

    Args:
        columns: of the candidate's features, on this corpus.

    Raises:
        SplitError: the candidate has learned from the dialogues that would have to decide.
    """
    name = name or model_name(reference.name)
    version = register_once(candidate, name)
    if (known := _champion_already(name, candidate)) is not None:
        # What was passed over may have been trained since.
        return replace(known, notes=tuple(dict.fromkeys((*known.notes, *candidate.passed_over))))
    corpus = reference.corpus
    vectors, package = read_vectors(corpus, columns), ModelPackage.load(candidate.package)
    split = gate_split(corpus, rules.minimum_dialogues)
    _check_unseen(package, corpus, split)
    mine = gate_predictions(package, corpus, vectors, split)
    if split == "test":
        share_test_looks()
    speed = utterances_per_second(package, corpus, vectors, mine.utterance_ids)
    size = sum(path.stat().st_size for path in candidate.package.rglob("*") if path.is_file()) / 1e6
    try:
        champion: RegisteredModel | None = find_model(name)
    except NoModelError:
        champion = None
    if champion is None:
        floors = load_floors(candidate.package, package.facts)
        held = _beside_floors(package, floors, corpus, vectors, mine, rules)
    else:
        held = _beside_champion(champion, package, corpus, vectors, mine, rules)
    found = (*held.rules, *of_operation(speed, size, rules))
    failed = [rule.name for rule in found if rule.passed is False]
    verdict = Verdict(
        outcome="refused" if failed else "waiting",
        model=name, version=version, champion_version=champion.version if champion else "",
        candidate=held.candidate, champion=held.champion, against=held.against,
        reason=f"failed: {', '.join(failed)}" if failed else "every rule is met",
        split=split, rules=found, notes=(*candidate.passed_over, NOTES[split], *held.notes),
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        rules_changed=rules_changed(rules), advice=held.advice,
    )  # fmt: skip
    _record(verdict)
    if failed:
        tell_refused(verdict)
    MlflowClient().set_registered_model_alias(name, CHALLENGER, version)
    keep_figures(verdict, candidate.run_id, measure(mine, corpus, split, package.facts.calibration.threshold))
    return verdict


def settle(verdict: Verdict, *, agreed: bool = True, reason: str = "") -> Verdict:
    """Moves the alias to a candidate that meets every rule, and writes its card; or records that nobody agreed.

    Raises:
        PromotionConflict: another candidate became the champion since it was judged.
    """
    if not agreed:
        declined = _record(replace(verdict, outcome="declined", reason=reason or "a person said no"))
        tell_refused(declined)
        return declined
    promoted = replace(verdict, outcome="promoted", reason=reason or verdict.reason)
    try:
        with turn(verdict.model) as mine:
            why = "; ".join(filter(None, (promoted.reason, verdict.changed)))
            make_champion(verdict.model, verdict.version, verdict.champion_version or None, mine, why)
    except PromotionConflict as conflict:
        tell_refused(_record(replace(verdict, outcome="refused", reason=str(conflict))))
        raise
    publish_card(_record(promoted))
    deliver()  # last: a receiver that is away is waited for
    return promoted


def tell_refused(verdict: Verdict) -> None:
    """The event of a candidate that does not become the champion."""
    facts = {
        "version": verdict.version, "champion": verdict.champion_version, "outcome": verdict.outcome,
        "failed": [rule.name for rule in verdict.rules if rule.passed is False], "split": verdict.split,
    }  # fmt: skip
    scores = {"weighted_f1": verdict.candidate, "weighted_f1_against": verdict.champion}
    measured = {name: value for name, value in scores.items() if not math.isnan(value)}
    publish(Event(Kind.REFUSED, verdict.model, verdict.title, {**facts, **measured}))


@dataclass(frozen=True)
class Held:
    """The candidate beside its opponent: the opponent in words, weighted F1 of both, rules, notes and what to do."""

    against: str
    candidate: float
    champion: float
    rules: tuple[Rule, ...]
    notes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


def _beside_floors(
    package: ModelPackage,
    fitted: dict[str, nn.Module],
    corpus: Corpus,
    vectors: Vectors,
    mine: SplitPredictions,
    rules: PromotionParameters,
) -> Held:
    train, dev = (
        load_split(corpus, vectors, package.representation, part, package.facts.emotions) for part in ("train", "dev")
    )
    floors = {
        name: predictions_beside(package, corpus, vectors, mine, system=system)
        for name, system in (fitted or fit_floors(train, dev, package.facts.emotions)).items()
    }
    found = against_floors(mine, floors, rules)
    scores = {name: predictions.weighted_f1() for name, predictions in floors.items()}
    best = max(scores, key=lambda name: scores[name])
    lines = tuple(f"{name}: weighted F1 {score:.3f}" for name, score in scores.items())
    sizes = {"train": len(train), "dev": len(dev), "the split that decides": len(set(mine.dialogue_ids))}
    advice = after_floors(mine.weighted_f1(), scores, found, package.facts, sizes)
    return Held(f"floor: {best}", mine.weighted_f1(), scores[best], found, lines, advice)


def _beside_champion(
    champion: RegisteredModel,
    package: ModelPackage,
    corpus: Corpus,
    vectors: Vectors,
    mine: SplitPredictions,
    rules: PromotionParameters,
) -> Held:
    other = load_package(champion)
    who = f"version {champion.version}, run {champion.run_id}"
    if other.facts.emotions != package.facts.emotions:
        asks = "the champion knows the same emotions; else register under another name (`--model`)"
        message = f"{', '.join(other.facts.emotions)} there, {', '.join(package.facts.emotions)} here"
        return Held(who, mine.weighted_f1(), NAN, (Rule("emotions", asks, NAN, NAN, message, False),))
    notes = []
    learned = dialogues_learned_from(other.facts, corpus)
    if learned is None:
        notes.append(
            "the champion was trained on other splits of this corpus, which are not in this home: it may have learned "
            "from dialogues that decide here, which would favour it"
        )
    elif seen := learned & set(mine.dialogue_ids):
        notes.append(f"{len(seen)} dialogues were left out: the champion has learned from them")
        mine = of_dialogues(mine, set(mine.dialogue_ids) - seen)
    if not len(mine.truth):
        asks = "dialogues that the champion has not learned from, at least"
        return Held(who, NAN, NAN, (Rule("dialogues", asks, 0, rules.minimum_dialogues, "0", False),), tuple(notes))
    if other.facts.features != package.facts.features:
        # Only what decides: the champion's extractors may be slow, and the rest of the corpus is of no use to it.
        rows = corpus.utterances[corpus.utterances["utterance_id"].isin(mine.utterance_ids)]
        corpus = corpus.with_utterances(rows.reset_index(drop=True))
        vectors = read_vectors(corpus, extract_features(corpus, other.facts.features, out_of_fold=False))
    theirs = predictions_beside(other, corpus, vectors, mine)
    found = against_champion(mine, theirs, rules)
    return Held(who, mine.weighted_f1(), theirs.weighted_f1(), found, tuple(notes))


def _check_unseen(package: ModelPackage, corpus: Corpus, split: Split) -> None:
    learned = dialogues_learned_from(package.facts, corpus)
    decides = set(corpus.splits.loc[corpus.splits["split"] == split, "dialogue_id"])
    if learned is None or learned & decides:
        raise SplitError(
            f"corpus {corpus.name}: the candidate was trained with other splits and "
            f"{'may have' if learned is None else 'has'} learned from dialogues of the {split} split. Train again."
        )


def _champion_already(name: str, candidate: RunReference) -> Verdict | None:
    """The verdict that made this run the champion, if it is the champion now: another look would only cost."""
    version = version_with(name, CHAMPION)
    if version is None:
        return None
    known = MlflowClient().get_model_version(name, version)
    if str(known.run_id) != candidate.run_id:
        return None
    reason = "already champion"
    if VERDICT_TAG in known.tags:
        return replace(Verdict.from_json(known.tags[VERDICT_TAG]), outcome="unchanged", reason=reason)
    score = candidate.weighted_f1
    return Verdict("unchanged", name, version, version, score, score, "itself", reason, "dev")


def _record(verdict: Verdict) -> Verdict:
    client = MlflowClient()
    for key, value in verdict.as_tags().items():
        client.set_model_version_tag(verdict.model, verdict.version, key, value[:5000] if key != VERDICT_TAG else value)
    return verdict


def register_once(candidate: RunReference, name: str, tags: Mapping[str, str] | None = None) -> str:
    """A version of the registered model without an alias; the same run is registered once. Returns the version.

    Args:
        tags: of a version that is new.
    """
    client = MlflowClient()
    with turn(name):
        known = client.search_model_versions(f"name = '{name}' and run_id = '{candidate.run_id}'")
        if known:
            return str(known[0].version)
        return register(candidate.model_uri, name, {"hbaf.run_id": candidate.run_id, **(tags or {})})
