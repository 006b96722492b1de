"""Promotions end to end on real packages, features and a real MLflow database; what decides is never learned from."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import Corpus, CorpusReference, load_corpus
from hbaf.events.outbox import events
from hbaf.events.webhook import ADDRESSES
from hbaf.features.columns import Columns, extract_features
from hbaf.markdown import plain
from hbaf.parameters import CorpusParameters, PromotionParameters, from_recipe
from hbaf.pipeline import decide
from hbaf.promotion import aliases
from hbaf.promotion.aliases import CHALLENGER, PREVIOUS, PromotionConflict, make_champion, rollback, turn, version_with
from hbaf.promotion.card import find_card
from hbaf.promotion.promote import judge, settle
from hbaf.promotion.verdict import Verdict
from hbaf.registry.models import CHAMPION, NoModelError, log_package
from hbaf.registry.runs import RunReference, train_package
from hbaf.registry.tracking import MlflowClient, run
from hbaf.training.data import SplitError
from hbaf.training.package import ModelPackage
from hbaf.training.run_log import SilentRunLog
from tests.registry.conftest import use

WORDS = {
    "joy": "What a wonderful day, we won the prize",
    "anger": "Stop shouting at me, you broke it again",
    "fear": "Somebody is at the door, hide quickly",
}
NAME = "hbaf-talks"
Break = Callable[[torch.Tensor, torch.Tensor], None]


class Talks:
    """Sixty dialogues without audio whose words tell the emotion, a model trained on them, and broken copies of it."""

    def __init__(self, folder: Path):
        rows = [
            {
                "dialogue": f"Zoe{d}",
                "turn": t,
                "speaker": "AB"[t % 2],
                "emotion": emotion,
                "text": f"{WORDS[emotion]} {d}",
            }
            for d in range(60)
            for t, emotion in enumerate(("joy", "anger", "joy", "anger", ("fear", "joy")[d % 2]))
        ]
        (folder / "talks").mkdir()
        pd.DataFrame(rows).to_csv(folder / "talks" / "talks.csv", index=False)
        self.features, self.model, self.training = from_recipe(
            "demo",
            features={"audio": "mfcc", "workers": 1},
            # One classifier that decides alone: the tests break it.
            model={
                "dim": 16,
                "heads": 2,
                "feedforward": 32,
                "conv_channels": 8,
                "dropout": 0.1,
                "experts": False,
                "unimodal": 0.0,
                "own_path": "none",
            },
            # By F1 it would stop at the first epoch without an error on a few dev dialogues.
            training={
                "max_epochs": 25,
                "threads": 1,
                "monitor": "cross_entropy",
                "members": 1,
                "label_chain": "none",
            },
        )
        self.folder = folder
        self.runs: dict[tuple[Break | None, int, str], RunReference] = {}
        self.reference: CorpusReference = prepare_corpus(
            CorpusParameters(reader="folder", root=folder / "talks", gate_share=0.4), workers=1
        )
        self.columns: Columns = extract_features(load_corpus(self.reference), self.features)
        self.package = self.trained(load_corpus(self.reference), "whole")

    def trained(self, corpus: Corpus, name: str) -> ModelPackage:
        origin = {
            "corpus_digest": self.reference.digest,
            "splits_digest": self.reference.splits_digest,
            "versions": {"hbaf": "0"},
        }
        return train_package(
            corpus, self.columns, self.features, self.model, self.training,
            folder=self.folder / name, log=SilentRunLog(), origin=origin,
        )  # fmt: skip

    def logged(self, change: Break | None = None, number: int = 1) -> RunReference:
        """A run whose model is the trained one with its classifier's weights and biases changed.

        Args:
            number: another one is another run of an equal model; logging takes a second, so each is logged once.
        """
        key = (change, number, self.package.facts.origin["splits_digest"])
        if key not in self.runs:
            self.runs[key] = self._log(change)
        return self.runs[key]

    def _log(self, change: Break | None) -> RunReference:
        with run("talks", tags={}) as log:
            facts = replace(self.package.facts, origin={**self.package.facts.origin, "run_id": log.run_id})
            place = replace(self.package, facts=facts).save(self.folder / log.run_id / "package")
            if change is not None:
                copy = ModelPackage.load(place)
                with torch.no_grad():
                    change(copy.system.classifier.weight, copy.system.classifier.bias)
                copy.save(place)
            uri = log_package(log.run_id, place, facts)
        return RunReference(log.run_id, place, uri, facts.dev_metrics["weighted_f1"])

    def promote(self, candidate: RunReference, **rules: float) -> Verdict:
        return decide(candidate, self.reference, self.columns, rules=PromotionParameters(**{**LENIENT, **rules}))


# The broken models are broken in their confidence too; what calibration asks is tested in test_rules.py.
LENIENT = {"calibration_tolerance": 1.0}
JOY, ANGER, FEAR = 2, 0, 1  # sorted, as a folder's labels are


def mixes_joy_and_anger(weight: torch.Tensor, bias: torch.Tensor) -> None:
    weight[JOY] = weight[ANGER] = (weight[JOY] + weight[ANGER]) / 2
    bias[JOY] = bias[ANGER] - 1


def never_says_fear(weight: torch.Tensor, bias: torch.Tensor) -> None:
    bias[FEAR] -= 100


def always_says_joy(weight: torch.Tensor, bias: torch.Tensor) -> None:
    bias[JOY] += 100


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Talks:
    folder = tmp_path_factory.mktemp("talks")
    with pytest.MonkeyPatch.context() as patch:
        use(folder, patch)
        return Talks(folder)


@pytest.fixture(autouse=True)
def home(talks: Talks, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    use(talks.folder, monkeypatch)
    yield talks.folder / "home"
    client = MlflowClient()
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)


def held() -> dict[str, str | None]:
    return {alias: version_with(NAME, alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}


@pytest.mark.long
def test_worse_equal_and_better_models_and_the_way_back(talks: Talks, home: Path) -> None:
    poor, good, equal = talks.logged(mixes_joy_and_anger), talks.logged(), talks.logged(number=2)
    first = talks.promote(poor, minimum_effect=-1.0)
    assert first.outcome == "promoted"
    assert first.split == "gate"
    assert {"majority", "logistic regression"} <= {rule.name for rule in first.rules}
    assert held() == {CHAMPION: "1", CHALLENGER: None, PREVIOUS: None}

    better = talks.promote(good)
    assert better.outcome == "promoted", better.markdown()
    assert better.candidate > better.champion + 0.2
    assert held() == {CHAMPION: "2", CHALLENGER: None, PREVIOUS: "1"}

    same = talks.promote(equal)
    assert same.outcome == "refused"
    assert same.candidate == pytest.approx(same.champion)
    worse = talks.promote(poor)
    assert worse.outcome == "refused"
    assert held() == {CHAMPION: "2", CHALLENGER: "1", PREVIOUS: "1"}
    assert talks.promote(good).outcome == "unchanged"

    move = rollback(reason="tested")
    assert (move.before, move.after) == ("2", "1")
    assert held() == {CHAMPION: "1", CHALLENGER: "1", PREVIOUS: "2"}
    last = json.loads((home / "promotions.jsonl").read_text().splitlines()[-1])
    assert (last["what"], last["reason"], last["to"]) == ("rollback", "tested", "1")
    assert "tested" in MlflowClient().get_model_version(NAME, "2").tags["hbaf.last_move"]
    assert rollback(NAME).after == "2"
    told = [(event.kind.removeprefix("hbaf.model."), event.facts["version"]) for event in events()]
    assert told == [
        ("promoted", "1"), ("promoted", "2"), ("refused", "3"), ("refused", "1"), ("rolled-back", "1"),
        ("rolled-back", "2"),
    ]  # fmt: skip


def test_a_gain_that_loses_one_emotion_is_refused(talks: Talks) -> None:
    assert talks.promote(talks.logged(mixes_joy_and_anger), minimum_effect=-1.0).promoted
    verdict = talks.promote(talks.logged(never_says_fear), class_support=3)
    rules = {rule.name: rule for rule in verdict.rules}
    assert verdict.candidate > verdict.champion
    assert rules["weighted F1"].passed
    assert rules["class floor"].passed is False
    assert verdict.outcome == "refused"
    tags = MlflowClient().get_model_version(NAME, verdict.version).tags
    assert tags["hbaf.verdict.class_floor"].startswith("failed: fear -")


def test_a_model_no_better_than_one_emotion_is_no_first_champion(talks: Talks) -> None:
    passed_over = ("passed over: text run 1234abcd, dev 0.305: not ahead on dev",)
    verdict = talks.promote(replace(talks.logged(always_says_joy), passed_over=passed_over))
    assert verdict.outcome == "refused"
    assert verdict.notes[0] == passed_over[0]
    said = "\n".join(verdict.advice)
    assert re.search(r"the baseline `logistic regression` won: .* behind by 0\.\d\d\d \(difference -0", said)
    assert "not far enough ahead of the baseline `majority`" in said
    for step in ("--recipe best", "more labelled dialogues", "another encoder than minilm", "`hbaf promote SOURCE`"):
        assert step in verdict.advice[-1]
    assert all(plain(line) in verdict.markdown() for line in verdict.advice)
    assert not talks.promote(talks.logged()).advice
    assert {rule.name for rule in verdict.rules if rule.passed is False} == {"majority", "logistic regression"}


def test_a_changed_rule_is_recorded_wherever_the_promotion_is(talks: Talks, home: Path) -> None:
    first = talks.promote(talks.logged(mixes_joy_and_anger), minimum_effect=-1.0, calibration_tolerance=0.02)
    assert first.rules_changed == ("minimum_effect 0 -> -1 (loosened)",)
    said = "rules changed: minimum_effect 0 -> -1 (loosened)"
    tags = MlflowClient().get_model_version(NAME, first.version).tags
    assert tags["hbaf.verdict.rules_changed"] == "minimum_effect 0 -> -1 (loosened)"
    assert said in tags["hbaf.last_move"]
    assert said in json.loads((home / "promotions.jsonl").read_text().splitlines()[-1])["reason"]
    assert said in (find_card() / "card.md").read_text()
    strict = PromotionParameters(level=0.95)
    again = judge(talks.logged(), talks.reference, talks.columns, rules=strict)
    assert not again.rules_changed
    assert "rules changed" not in again.markdown()
    assert MlflowClient().get_model_version(NAME, again.version).tags["hbaf.verdict.rules_changed"] == "none"


def test_two_promotions_at_once_one_wins_and_the_other_is_told(talks: Talks) -> None:
    assert talks.promote(talks.logged(mixes_joy_and_anger), minimum_effect=-1.0).promoted
    rules = PromotionParameters(**LENIENT)
    judged = [judge(talks.logged(number=n), talks.reference, talks.columns, rules=rules) for n in (1, 2)]
    told: list[str] = []
    ready = threading.Barrier(2)

    def go(verdict: Verdict) -> None:
        ready.wait()
        try:
            told.append(settle(verdict).outcome)
        except PromotionConflict as conflict:
            told.append(str(conflict))

    threads = [threading.Thread(target=go, args=(verdict,)) for verdict in judged]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told, key=len)[0] == "promoted"
    assert "became the champion while version" in sorted(told, key=len)[1]
    assert held()[PREVIOUS] == "1"
    assert held()[CHAMPION] in {verdict.version for verdict in judged}


def test_a_shared_registry_lends_its_ticket_to_one(talks: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MlflowClient()
    monkeypatch.setattr(aliases.mlflow, "get_registry_uri", lambda: "https://mlflow.example")
    inside: list[str] = []
    with turn(NAME) as mine:
        mine.check()
        with pytest.raises(PromotionConflict, match="another promotion is under way"), turn(NAME, wait=0.6):
            inside.append("second")
        # Whoever finds a ticket of five minutes ago takes it over; its holder finds out before it moves anything.
        monkeypatch.setattr(aliases, "STALE", -1.0)
        with turn(NAME) as other:
            other.check()
            with pytest.raises(PromotionConflict, match="taken over"):
                mine.check()
    assert not inside
    assert not [model.name for model in client.search_registered_models() if model.name.startswith(NAME)]


def test_one_ticket_for_many_at_once(talks: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases.mlflow, "get_registry_uri", lambda: "https://mlflow.example")
    inside, most, done = [0], [0], []

    def go() -> None:
        with turn(NAME):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            inside[0] -= 1
        done.append(threading.get_ident())

    MlflowClient()
    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert len(done) == 4


def test_a_person_is_asked_where_the_setting_says_so(talks: Talks) -> None:
    rules = PromotionParameters(approval=True, minimum_effect=-1.0)
    run = talks.logged()
    asked: list[Verdict] = []

    def no(verdict: Verdict) -> tuple[bool, str]:
        asked.append(verdict)
        return False, "not on a Friday"

    verdict = decide(run, talks.reference, talks.columns, rules=rules, ask=no)
    assert (verdict.outcome, verdict.reason) == ("declined", "not on a Friday")
    assert asked[0].outcome == "waiting"
    assert held() == {CHAMPION: None, CHALLENGER: "1", PREVIOUS: None}
    assert decide(run, talks.reference, talks.columns, rules=rules).outcome == "waiting"
    agreed = decide(run, talks.reference, talks.columns, rules=rules, ask=lambda verdict: (True, "approved"))
    assert agreed.promoted
    assert held()[CHAMPION] == "1"


def test_no_way_back_says_so(talks: Talks) -> None:
    with pytest.raises(NoModelError, match="nothing to go back to"):
        rollback()
    talks.promote(talks.logged(), minimum_effect=-1.0)
    with pytest.raises(NoModelError, match="nothing to go back to"):
        rollback(NAME)


def test_the_card_says_what_it_must_and_names_nobody(talks: Talks, home: Path) -> None:
    with (home / "test-looks.jsonl").open("a") as ledger:
        ledger.write('{"at": "2026-01-01T00:00:00Z", "corp')  # torn by a kill
    verdict = talks.promote(talks.logged(), minimum_effect=-1.0)
    folder = find_card()
    text, page = (folder / "card.md").read_text(), (folder / "card.html").read_text()
    for said in (
        talks.reference.digest, talks.reference.splits_digest, "95 % interval", "fear", "Prohibited in the EU",
        "workplace and in education", "High-risk", "Expected calibration error", "looked at", "no audio at all",
        "hbaf train CORPUS --recipe demo", "--set model.dim=16", "Why it was promoted", verdict.reason,
        "words: 8 to 15",
    ):  # fmt: skip
        assert said in text, said
    assert 'src="data:image/png;base64,' in page
    for secret in ("Zoe", "wonderful", str(talks.folder)):
        assert secret not in text
        assert secret not in page
    version = MlflowClient().get_model_version(NAME, verdict.version)
    logged = {item.path for item in MlflowClient().list_artifacts(str(version.run_id), f"card/{NAME}")}
    assert {path.rpartition("/")[2] for path in logged} == {"card.md", "card.html", "reliability.png"}
    assert version.description.startswith(f"# {NAME} version {verdict.version}")


def test_whoever_is_told_of_a_champion_finds_its_card(talks: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[bool] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            there.append((find_card() / "card.html").exists())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(ADDRESSES, f"http://127.0.0.1:{server.server_port}/")
        talks.promote(talks.logged(), minimum_effect=-1.0)
        server.shutdown()
    assert there == [True]


def test_a_candidate_that_learned_from_what_decides_is_turned_away(talks: Talks) -> None:
    other = prepare_corpus(
        CorpusParameters(reader="folder", root=talks.folder / "talks", gate_share=0.9), workers=1
    )  # most of what it was trained on would decide now
    with pytest.raises(SplitError, match="trained with other splits"):
        decide(talks.logged(), other, talks.columns)


def test_dialogues_that_the_champion_knows_do_not_decide(talks: Talks) -> None:
    assert talks.promote(talks.logged(), minimum_effect=-1.0).promoted
    wider = prepare_corpus(CorpusParameters(reader="folder", root=talks.folder / "talks", gate_share=0.6), workers=1)
    facts = replace(
        talks.package.facts, origin={**talks.package.facts.origin, "splits_digest": wider.splits_digest}
    )  # as if trained with the wider gate
    before = talks.package
    talks.package = replace(before, facts=facts)
    try:
        verdict = decide(talks.logged(), wider, talks.columns)
    finally:
        talks.package = before
    gates = [set(load_corpus(r).in_split("gate")["dialogue_id"]) for r in (talks.reference, wider)]
    assert gates[0] < gates[1]
    assert f"{len(gates[1] - gates[0])} dialogues were left out: the champion has learned from them" in verdict.notes


def test_nothing_that_learns_sees_the_gate(talks: Talks) -> None:
    """Other labels and words in the gate split: the same weights, temperature, threshold and scaling."""
    corpus = load_corpus(talks.reference)
    gate = corpus.utterances["dialogue_id"].isin(corpus.in_split("gate")["dialogue_id"])
    assert 0.15 < gate.mean() < 0.4
    changed = corpus.utterances.copy()
    changed.loc[gate, "emotion"] = "anger"
    changed.loc[gate, "text"] = "Somebody is at the door, hide quickly"
    other = corpus.with_utterances(changed)
    columns = talks.columns
    talks.columns = extract_features(other, talks.features)
    try:
        again = talks.trained(other, "changed")
    finally:
        talks.columns = columns
    assert again.facts.calibration == talks.package.facts.calibration
    assert again.facts.dev_metrics == talks.package.facts.dev_metrics
    assert again.representation.text is not None
    np.testing.assert_array_equal(again.representation.text.mean, talks.package.representation.text.mean)  # type: ignore[union-attr]
    for name, value in talks.package.system.state_dict().items():
        assert torch.equal(value, again.system.state_dict()[name]), name


def test_the_champion_must_be_the_one_that_was_judged_against(talks: Talks) -> None:
    talks.promote(talks.logged(), minimum_effect=-1.0)
    with turn(NAME) as mine, pytest.raises(PromotionConflict, match="became the champion while"):
        make_champion(NAME, "1", "7", mine, "a test")
