"""Every rule kept and broken on made-up corpora of a dozen rows, and what the result says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError, as_utterances, empty_splits
from hbaf.parameters import ValidationParameters
from hbaf.validation import RuleResult, ValidationFailed, ValidationResult
from hbaf.validation import validate as validate_with_docs
from hbaf.validation.rules import RULES

PARAMETERS = ValidationParameters()
EMOTIONS = ("joy", "anger")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))


def validate(corpus: Corpus, parameters: ValidationParameters) -> ValidationResult:
    """Without the pages, which test_pages.py looks at."""
    return validate_with_docs(corpus, parameters, docs=False)


def made_up(dialogues: int = 6, turns: int = 2, **changed: object) -> Corpus:
    """A corpus that keeps every rule: two turns a dialogue, a voice of its own in each; `changed` are whole columns."""
    count = dialogues * turns
    rows = pd.DataFrame(
        {
            "corpus": "tiny",
            "dialogue_id": [f"d{row // turns}" for row in range(count)],
            "turn": [row % turns for row in range(count)],
            "speaker": [f"voice {row // turns}" for row in range(count)],
            "text": [f"this is sentence number {row}" for row in range(count)],
            "audio": [f"d{row // turns}/{row % turns}.wav" for row in range(count)],
            "start": 0.0,
            "end": 2.0,
            "emotion": [EMOTIONS[row % 2] for row in range(count)],
            "seconds": 2.0,
            "loudness": -20.0,
            "clipped": 0.0,
            "voiced_share": 0.9,
            "subtitle_seconds": 2.0,
            "audio_digest": [f"a{row}" for row in range(count)],
        }
    )
    table = as_utterances(rows.assign(**changed))
    names = ["train", "train", "dev", "dev", "test", "test"]
    splits = pd.DataFrame({"dialogue_id": [f"d{n}" for n in range(dialogues)], "split": names[:dialogues]}, dtype="str")
    return Corpus("tiny", Path("/nowhere"), table, splits, EMOTIONS)


def with_cell(corpus: Corpus, row: int, column: str, value: object) -> Corpus:
    table = corpus.utterances.copy()
    table.loc[row, column] = value
    return corpus.with_utterances(table)


def split_as(corpus: Corpus, *names: str | None) -> Corpus:
    pairs = [(f"d{n}", name) for n, name in enumerate(names) if name is not None]
    return replace(corpus, splits=pd.DataFrame(pairs, columns=["dialogue_id", "split"], dtype="str"))


def aside(corpus: Corpus, rows: int) -> Corpus:
    return replace(corpus, set_aside=pd.DataFrame({"row": [str(n) for n in range(rows)], "rule": "r", "found": "f"}))


def rule(result: ValidationResult, name: str) -> RuleResult:
    return next(item for item in result.rules if item.name == name)


def without_column(corpus: Corpus, *names: str) -> Corpus:
    return corpus.with_utterances(corpus.utterances.drop(columns=list(names)))


def doubled_id(corpus: Corpus) -> Corpus:
    return with_cell(corpus, 3, "utterance_id", "tiny/d0/0")


def gap_in_turns(corpus: Corpus) -> Corpus:
    return with_cell(with_cell(corpus, 3, "turn", 2), 3, "utterance_id", "tiny/d1/2")


def leaked_text(corpus: Corpus) -> Corpus:
    return with_cell(corpus, 8, "text", "This is  SENTENCE number 0")  # case and spaces do not hide it


def two_splits(corpus: Corpus) -> Corpus:
    twice = pd.DataFrame({"dialogue_id": ["d0"], "split": ["test"]}, dtype="str")
    return replace(corpus, splits=pd.concat([corpus.splits, twice], ignore_index=True))


def unknown_dialogue(corpus: Corpus) -> Corpus:
    stranger = pd.DataFrame({"dialogue_id": ["d99"], "split": ["test"]}, dtype="str")
    return replace(corpus, splits=pd.concat([corpus.splits, stranger], ignore_index=True))


def no_words(corpus: Corpus) -> Corpus:
    return corpus.with_utterances(corpus.utterances.assign(text=pd.Series(None, index=range(12), dtype="str")))


def no_audio(corpus: Corpus) -> Corpus:
    silent = corpus.utterances.assign(audio=pd.Series(None, index=range(12), dtype="str"), audio_problem="none named")
    return without_column(corpus.with_utterances(silent), "seconds", "loudness", "clipped")


def as_meld(corpus: Corpus) -> Corpus:
    """A dozen rows that say they are MELD."""
    return replace(corpus.with_utterances(corpus.utterances.assign(sentiment="positive")), emotions=LABEL_SETS["meld"])


# rule -> (how to break it, the first broken id; None where the rule speaks of the whole corpus)
BREAKING = {
    "unique_ids": (doubled_id, "tiny/d0/0"),
    "ids_well_formed": (lambda c: with_cell(c, 3, "utterance_id", "other"), "other"),
    "known_labels": (lambda c: with_cell(c, 3, "emotion", "boredom"), "tiny/d1/1"),
    "text_usable": (lambda c: with_cell(c, 3, "text", "  "), "tiny/d1/1"),
    "audio_usable": (lambda c: with_cell(c, 3, "audio_problem", "does not decode"), "tiny/d1/1"),
    "some_modality": (lambda c: with_cell(with_cell(c, 3, "text", None), 3, "audio", None), "tiny/d1/1"),
    "audio_measured": (lambda c: without_column(c, "seconds"), "tiny/d0/0"),
    "segments_in_order": (lambda c: with_cell(c, 3, "end", 0.0), "tiny/d1/1"),
    "duration": (lambda c: with_cell(c, 3, "seconds", 61.0), "tiny/d1/1"),
    "loudness": (lambda c: with_cell(c, 3, "loudness", -np.inf), "tiny/d1/1"),
    "clipping": (lambda c: with_cell(c, 3, "clipped", 0.02), "tiny/d1/1"),
    "words_per_second": (lambda c: with_cell(c, 3, "seconds", 0.5), "tiny/d1/1"),  # 5 words in half a second
    "some_voice": (lambda c: with_cell(c, 3, "voiced_share", 0.01), "tiny/d1/1"),
    "announced_length": (lambda c: with_cell(with_cell(c, 3, "subtitle_seconds", 0.0), 3, "seconds", 0.9), "tiny/d1/1"),
    "audio_as_announced": (lambda c: with_cell(c, 3, "subtitle_seconds", 0.9), "tiny/d1/1"),
    "text_encoding": (lambda c: with_cell(c, 3, "text", "you donâ€™t mean that"), "tiny/d1/1"),
    "test_audio_new": (lambda c: with_cell(c, 8, "audio_digest", "a0"), "tiny/d4/0"),
    "test_texts_new": (leaked_text, "tiny/d4/0"),
    "test_speakers_new": (lambda c: with_cell(c, 8, "speaker", "voice 0"), "tiny/d4/0"),
    "turns_are_ranks": (gap_in_turns, "tiny/d1/0"),
    "one_split": (two_splits, "tiny/d0/0"),
    "split_names": (lambda c: split_as(c, "train", "train", "dev", "test", "tset", "test"), "tiny/d4/0"),
    "split_dialogues_exist": (unknown_dialogue, "tiny/d99"),
    "labelled_in_split": (lambda c: split_as(c, "train", "train", "dev", "test", None, "test"), "tiny/d4/0"),
    "splits_filled": (lambda c: split_as(c, "train", "train", "train", "train", "test", "test"), None),
    "emotions_in_train": (lambda c: replace(c, emotions=(*EMOTIONS, "fear")), None),
    "set_aside": (lambda c: aside(c, 1), None),
    "text_new": (lambda c: c.with_utterances(c.utterances.assign(text="All say one and the same thing")), None),
    "text_readable": (lambda c: c.with_utterances(c.utterances.assign(text="Äîáðîå óòðî, ÷åì ìîãó")), None),
    "paper_counts": (as_meld, None),
    "has_text": (no_words, None),
    "has_audio": (no_audio, None),
}


def test_a_sound_corpus_keeps_every_rule() -> None:
    result = validate(made_up(), PARAMETERS)
    outcomes = {item.name: item.outcome for item in result.rules}
    # The paper knows no such corpus, and no version of it was accepted before.
    idle = {"paper_counts", "label_shares"}
    assert outcomes == {item.name: "not evaluated" if item.name in idle else "kept" for item in RULES}
    assert result.ok
    assert (result.corpus, result.digest) == ("tiny", made_up().digest())
    result.raise_if_failed()


def test_every_rule_is_seen_broken() -> None:
    # rows: see the empty frame; label_shares: see test_accepted.py
    assert {*BREAKING, "rows", "label_shares"} == {item.name for item in RULES}


@pytest.mark.parametrize("name", BREAKING)
def test_a_broken_rule_is_named_with_its_rows(name: str) -> None:
    breaking, first = BREAKING[name]
    result = validate(breaking(made_up()), PARAMETERS)
    found = rule(result, name)
    assert found.failed
    assert found.broken_rows >= 1
    assert found.share == pytest.approx(found.broken_rows / found.checked_rows)
    assert found.examples[:1] == (() if first is None else (first,))
    if found.severity == "critical":
        assert not result.ok
        with pytest.raises(ValidationFailed, match=name):
            result.raise_if_failed()
    else:
        assert found.outcome == "warning"
        assert result.ok, "a warning must not stop the run"


def test_as_many_rows_as_the_bad_share_may_break_a_row_rule() -> None:
    hoarse = made_up(5, 20)  # 100 utterances
    for row in range(2):
        hoarse = with_cell(hoarse, row, "audio_problem", "does not decode")
    kept = rule(validate(hoarse, PARAMETERS), "audio_usable")
    assert kept.passed
    assert (kept.broken_rows, kept.examples) == (2, ("tiny/d0/0", "tiny/d0/1"))
    assert rule(validate(with_cell(hoarse, 2, "audio_problem", "x"), PARAMETERS), "audio_usable").failed
    assert rule(validate(hoarse, ValidationParameters(bad_share=0.01)), "audio_usable").failed


def test_structure_knows_no_tolerance() -> None:
    generous = ValidationParameters(bad_share=0.5)
    for name in ("known_labels", "unique_ids", "turns_are_ranks", "one_split"):
        assert rule(validate(BREAKING[name][0](made_up()), generous), name).failed


def test_bounds_come_from_the_parameters_and_are_included() -> None:
    assert rule(validate(made_up(seconds=60.0), PARAMETERS), "duration").passed
    narrow = validate(made_up(), ValidationParameters(seconds=(0.1, 1.9), loudness=(-10, 0), words_per_second=(3, 4)))
    assert {item.name for item in narrow.failures("warning")} == {"duration", "loudness", "words_per_second"}
    assert "0.1 to 1.9 s" in rule(narrow, "duration").meaning


def test_an_empty_frame_fails_although_no_row_breaks_a_rule() -> None:
    empty = Corpus("tiny", Path("/nowhere"), made_up().utterances.iloc[:0], empty_splits(), EMOTIONS)
    result = validate(empty, PARAMETERS)
    assert not result.ok
    assert [item.name for item in result.failures("critical")] == ["rows"]
    assert not any(item.evaluated for item in result.rules if item.name != "rows")
    with pytest.raises(ValidationFailed, match="at least one utterance"):
        result.raise_if_failed()


def test_rows_of_nothing_but_missing_values_fail() -> None:
    table = made_up().utterances
    hollow = table.assign(
        **{name: pd.Series(None, index=table.index, dtype=table[name].dtype) for name in table if name != "turn"}
    )
    result = validate(Corpus("tiny", Path("/nowhere"), hollow, empty_splits(), EMOTIONS), PARAMETERS)
    assert {item.name for item in result.failures("critical")} == {"ids_well_formed", "some_modality"}
    assert rule(result, "duration").outcome == "not evaluated"
    assert not rule(result, "duration").passed


def test_a_result_in_which_nothing_was_judged_is_not_ok() -> None:
    idle = RuleResult("known_labels", "critical", passed=False, evaluated=False, meaning="m", advice="a")
    rows = replace(idle, name="rows", passed=True, evaluated=True, checked_rows=1)
    result = ValidationResult("tiny", "0", (rows, idle))
    assert not result.ok
    with pytest.raises(ValidationFailed, match="anything to judge"):
        result.raise_if_failed()


def test_two_unlabelled_rows_without_splits_are_enough() -> None:
    scored = replace(made_up(1, 2, emotion=None), splits=empty_splits(), emotions=())
    result = validate(scored, PARAMETERS)
    assert result.ok
    idle = {item.name for item in result.rules if not item.evaluated}
    about_splits = {"one_split", "split_names", "split_dialogues_exist", "labelled_in_split", "splits_filled"}
    about_test = {"test_texts_new", "test_speakers_new", "test_audio_new"}
    about_labels = {"known_labels", "emotions_in_train", "paper_counts", "label_shares"}
    assert idle == about_labels | about_test | about_splits | {"text_new"}  # two rows are too few for a verdict
    assert rule(result, "rows").found == "2 utterances"


def test_text_alone_is_a_corpus() -> None:
    result = validate(no_audio(made_up()), PARAMETERS)
    assert result.ok
    assert [item.name for item in result.failures("warning")] == ["has_audio"]
    assert rule(result, "audio_usable").outcome == "not evaluated"


def test_audio_that_was_named_and_never_found_is_not_a_corpus_of_text() -> None:
    lost = made_up(audio_problem="no such file")
    assert [item.name for item in validate(lost, PARAMETERS).failures("critical")] == ["audio_usable"]


@pytest.mark.parametrize("problem", ["path leaves the corpus folder", "no audio at d0_1.*", "3 files are called d0"])
def test_sound_that_belongs_to_no_row_was_lost(problem: str) -> None:
    lost = made_up(audio=None, audio_problem=problem)
    assert [item.name for item in validate(lost, PARAMETERS).failures("critical")] == ["audio_usable"]


def test_values_of_unusable_audio_are_not_judged() -> None:
    odd = with_cell(with_cell(made_up(), 3, "audio_problem", "too short"), 3, "seconds", 0.0)
    assert rule(validate(odd, PARAMETERS), "duration").checked_rows == 11


def test_at_most_five_ids_are_named() -> None:
    assert len(rule(validate(made_up(seconds=99.0), PARAMETERS), "duration").examples) == 5


def test_a_table_without_the_schema_is_refused() -> None:
    with pytest.raises(CorpusError, match="lacks emotion"):
        validate(without_column(made_up(), "emotion"), PARAMETERS)


def test_a_validation_does_not_change_the_corpus_and_repeats_itself() -> None:
    corpus = made_up()
    before = corpus.utterances.copy()
    first, second = validate(corpus, PARAMETERS), validate(corpus, PARAMETERS)
    pd.testing.assert_frame_equal(corpus.utterances, before)
    assert first == second


def test_the_result_is_plain_json() -> None:
    broken = validate(BREAKING["known_labels"][0](made_up()), PARAMETERS).to_json_dict()
    read = json.loads(json.dumps(broken, allow_nan=False))
    assert read == broken
    assert read["ok"] is False
    assert next(item for item in read["rules"] if item["name"] == "known_labels")["examples"] == ["tiny/d1/1"]
