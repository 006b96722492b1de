import hashlib
import sys
import wave
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.example import conversations as example
from hbaf.corpus.example.conversations import EMOTIONS, LABEL_NOISE, MANIFEST_COLUMNS, example_script, read_example
from hbaf.corpus.example.lines import FILLERS, SITUATIONS, STATEMENTS, TAILS, deal, fill
from hbaf.corpus.example.synthesis import SpokenLine, synthesiser_missing
from hbaf.corpus.example.voices import HIGH_NAMES, LOW_NAMES
from hbaf.corpus.schema import SPLITS, UTTERANCE_COLUMNS, CorpusError
from hbaf.parameters import CorpusParameters

SMALL = CorpusParameters(dialogues=12, seed=3)


@pytest.fixture(scope="module", params=[0, 1, 2])
def script(request: pytest.FixtureRequest) -> pd.DataFrame:
    return example_script(request.param, 160)


def test_same_seed_same_words_other_seed_other_words() -> None:
    pd.testing.assert_frame_equal(example_script(5, 20), example_script(5, 20))
    assert not example_script(5, 20)["text"].equals(example_script(6, 20)["text"])


def test_structure(script: pd.DataFrame) -> None:
    by_dialogue = script.groupby("dialogue_id")
    assert by_dialogue.ngroups == 160
    assert by_dialogue.size().between(6, 12).all()
    assert by_dialogue["speaker"].nunique().between(2, 4).all()
    assert by_dialogue["turn"].apply(lambda turns: turns.tolist() == list(range(len(turns)))).all()
    assert by_dialogue["split"].nunique().eq(1).all()
    dialogues = by_dialogue["split"].first().value_counts()
    assert dialogues.to_dict() == {"train": 112, "dev": 24, "test": 24}
    assert script["text"].str.split().str.len().between(3, 20).all()
    assert not script["text"].str.contains("[{}]", regex=True).any()


def test_small_corpus_has_every_split() -> None:
    assert set(example_script(0, 12)["split"]) == set(SPLITS)


@pytest.mark.parametrize("column", ["text", "voice", "speaker", "variant", "words"])
def test_nothing_of_one_split_occurs_in_another(script: pd.DataFrame, column: str) -> None:
    looked_at = script.assign(
        variant=script["voice"].str.split("+").str[1],
        # Without the reactions' openers and the situations' tails, which all splits share.
        words=[without_shared_words(row.text, row.cue) for row in script.itertuples()],
    )
    seen = {split: set(rows[column]) for split, rows in looked_at.groupby("split")}
    assert seen["train"].isdisjoint(seen["dev"])
    assert seen["train"].isdisjoint(seen["test"])
    assert seen["dev"].isdisjoint(seen["test"])


def without_shared_words(text: str, cue: str) -> str:
    if cue == "context":
        return text.split(". ", 1)[1]
    for tail in [tail for tails in TAILS.values() for tail in tails]:
        text = text.removesuffix(f" {tail}")
    return text


def test_emotions_and_cues_are_balanced_in_every_split(script: pd.DataFrame) -> None:
    for split in SPLITS:
        rows = script[script["split"] == split]
        emotions = rows["emotion"].value_counts(normalize=True)
        assert set(emotions.index) == set(EMOTIONS)
        assert emotions.idxmax() == "neutral"
        assert emotions.min() > 0.08
        assert emotions.max() < 0.36
        cues = rows["cue"].value_counts(normalize=True)
        assert cues["voice"] > 0.3
        assert cues["words"] > 0.3
        assert cues["context"] > 0.12
    assert abs((script["emotion"] != script["intended"]).mean() - LABEL_NOISE) < 0.02


def test_context_follows_anothers_words_and_has_their_emotion(script: pd.DataFrame) -> None:
    before = script.shift(1)
    context = script["cue"] == "context"
    assert (script.loc[context, "turn"] > 0).all()
    assert (before.loc[context, "cue"] == "words").all()
    assert (before.loc[context, "intended"] == script.loc[context, "intended"]).all()
    assert (before.loc[context, "speaker"] != script.loc[context, "speaker"]).all()


def test_prosody_tells_the_emotion_of_voice_cues_only(script: pd.DataFrame) -> None:
    mean_rate = script.groupby(["cue", "intended"])["rate"].mean().unstack()
    assert mean_rate.loc["voice", "anger"] > mean_rate.loc["voice", "sadness"] + 80
    for cue in ("words", "context"):
        # Standard error of a mean over 30 lines is about 2 words per minute.
        assert mean_rate.loc[cue].max() - mean_rate.loc[cue].min() < 12


def test_statements_are_said_with_every_emotion(script: pd.DataFrame) -> None:
    """The same kind of line: no emotion has more than its share of any topic's statements."""
    voice = script[(script["cue"] == "voice") & (script["split"] == "train")]
    shares = pd.crosstab(voice["topic"], voice["intended"], normalize="index")
    assert (shares > 0).all().all()
    assert shares.drop(columns="neutral").max().max() < 0.35


def test_every_slot_is_known_and_no_line_names_an_emotion() -> None:
    templates = [line for cell in SITUATIONS.values() for lines in cell.values() for line in lines]
    templates += [line for lines in STATEMENTS.values() for line in lines]
    chance = example.random.Random(0)
    filled = [fill(chance, template) for template in templates]
    assert not [line for line in filled if "{" in line]
    assert len(set(templates)) == len(templates)
    names = ("joy", "anger", "angry", "sad", "fear", "afraid", "surprise")
    assert not [line for line in filled if {word.strip(".,!?").lower() for word in line.split()} & set(names)]
    assert not set(FILLERS["mate"]) & {*LOW_NAMES, *HIGH_NAMES}


def test_fill_repeats_no_filler_and_begins_sentences_with_a_capital() -> None:
    chance = example.random.Random(0)
    for _ in range(50):
        line = fill(chance, "{Relative} comes on {day} or {day2}.")
        assert line.startswith("My ")
        first, second = line.split(" on ")[1].rstrip(".").split(" or ")
        assert first != second


def test_deal_gives_each_item_to_one_split() -> None:
    dealt = deal(example.random.Random(0), tuple("abcdefghijkl"))
    assert {split: len(items) for split, items in dealt.items()} == {"train": 8, "dev": 2, "test": 2}
    assert sorted(dealt["train"] + dealt["dev"] + dealt["test"]) == list("abcdefghijkl")


@pytest.mark.skipif(synthesiser_missing() is not None, reason="espeakng-loader is not installed")
def test_audio_is_made_once_and_making_continues(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path))
    corpus = read_example(SMALL)
    files = [corpus.root / path for path in corpus.utterances["audio"]]
    assert list(corpus.utterances.columns[: len(UTTERANCE_COLUMNS)]) == list(UTTERANCE_COLUMNS)
    assert set(corpus.utterances["cue"]) == {"voice", "words", "context"}
    assert corpus.utterances["source_id"].iloc[0] == "d000_t00"
    for file in files:
        with wave.open(str(file)) as source:
            assert source.getnframes() > 0.4 * source.getframerate()
    manifest = pd.read_csv(corpus.root / "manifest.csv")
    assert list(manifest.columns) == MANIFEST_COLUMNS
    assert len(manifest) == len(files)

    asked: list[SpokenLine] = []
    real = example.synthesise
    monkeypatch.setattr(example, "synthesise", lambda lines, *others: (asked.extend(lines), real(lines, *others))[1])
    files[4].unlink()
    (corpus.root / "manifest.csv").unlink()
    stamps = {file: file.stat().st_mtime_ns for file in files if file.exists()}
    again = read_example(SMALL)
    assert [line.wav for line in asked] == [files[4]]
    assert files[4].exists()
    assert (corpus.root / "manifest.csv").exists()
    assert {file: file.stat().st_mtime_ns for file in stamps} == stamps
    assert again.digest() == corpus.digest()
    assert again.splits_digest() == corpus.splits_digest()


def test_without_synthesiser_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CorpusError, match=r"pip install 'hbaf\[examples\]'"):
        read_example(SMALL)
    assert not list(tmp_path.rglob("manifest.csv"))


def test_the_words_of_a_seed_are_those_of_every_earlier_version() -> None:
    """A home keeps the audio under a digest of the script: other words would be spoken anew, and be another corpus."""
    digests = {
        (0, 200): "b1e1d48e79ff2eb66d7530db9798799f82304f0b71e07dbb264c696f3939a38f",
        (7, 60): "b72b3fe8576db95ecde340004486fe44a682b76cb2bb486f0dd35e0a29d947af",
    }
    for (seed, dialogues), digest in digests.items():
        assert hashlib.sha256(example_script(seed, dialogues).to_csv().encode()).hexdigest() == digest
