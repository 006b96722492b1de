"""Windows of turns: who said what before, and keys that cover it."""

import pandas as pd

from hbaf.corpus.schema import as_utterances
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.corpus.windows import Window, text_items

SAID = [("Ann", "hi"), ("Bob", "hello"), (None, "hm"), ("Cy", None), ("Ann", "  "), ("Ann", "so"), ("Bob", "yes")]


def talk(said: list[tuple[str | None, str | None]] = SAID, dialogue: str = "d") -> pd.DataFrame:
    rows = [
        {"corpus": "c", "dialogue_id": dialogue, "turn": turn, "speaker": speaker, "text": text,
         "text_problem": "no text" if text is None else None}
        for turn, (speaker, text) in enumerate(said)
    ]  # fmt: skip
    return as_utterances(pd.DataFrame(rows))


def test_a_window_is_the_turns_before_with_marks_relative_to_who_speaks() -> None:
    assert text_items(talk(), 3) == [
        Window((), "hi"),
        Window(("B: hi",), "hello"),
        Window(("C: hi", "B: hello"), "hm"),  # the speaker of this one is unknown
        None,
        Window(("A: hi", "B: hello", "?: hm"), "  "),
        Window(("A: hi", "B: hello", "?: hm"), "so"),  # turns without words do not count
        Window(("A: hello", "?: hm", "B: so"), "yes"),
    ]
    assert text_items(talk(), 1)[-1] == Window(("B: so",), "yes")
    assert text_items(talk())[2:5] == ["hm", None, "  "]
    assert Window(("B: so",), "yes").lines == ("B: so", "A: yes")


def test_dialogues_do_not_mix_and_rows_may_come_in_any_order() -> None:
    table = pd.concat([talk(), talk([("Ann", "other")], "e")], ignore_index=True)
    shuffled = table.sample(frac=1, random_state=3)
    assert text_items(shuffled, 3) == [text_items(table, 3)[row] for row in shuffled.index]
    assert text_items(table, 3)[-1] == Window((), "other")


def test_a_key_covers_words_and_speakers_before_and_nothing_behind() -> None:
    keys = utterance_keys(talk(), "text", 2)
    assert keys[3] is None
    for change, moved in {
        (1, ("Bob", "HELLO")): {1, 2, 4, 5},  # the turn itself and who reads it
        (1, ("Ann", "hello")): {1, 2, 4, 5},
        (6, ("Bob", "no")): {6},
    }.items():
        row, said = change
        other = utterance_keys(talk([*SAID[:row], said, *SAID[row + 1 :]]), "text", 2)
        assert {turn for turn in range(7) if keys[turn] != other[turn]} == moved, change
    # Without context the neighbours change nothing, and keys are what they always were.
    plain = utterance_keys(talk(), "text")
    assert plain[5] == utterance_keys(talk(SAID[5:6]), "text")[0] != keys[5]


def test_the_same_exchange_between_others_has_the_same_keys() -> None:
    named = [({"Ann": "Zoe", "Bob": "Yan", "Cy": "Xi"}.get(speaker or ""), text) for speaker, text in SAID]
    assert utterance_keys(talk(named, "e"), "text", 4).tolist() == utterance_keys(talk(), "text", 4).tolist()
