r"""IEMOCAP as it is released: five sessions of two actors each, with transcripts, labels and one wav per utterance.

    SessionN/dialog/EmoEvaluation/<dialogue>.txt    [6.2901 - 8.2357]\\tSes01F_impro01_F000\\tneu\\t[2.5, 2.5, 2.5]
    SessionN/dialog/transcriptions/<dialogue>.txt   Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
    SessionN/sentences/wav/<dialogue>/<utterance>.wav

The label is the release's majority label. What has another one (no agreement, surprise, fear ...) is context without a
label. Turns are in the order in which the utterances begin; two actors may speak at once.
"""

import logging
import os
import random
import re
from pathlib import Path
from typing import Any

import pandas as pd

from hbaf.corpus.confined import read_confined
from hbaf.corpus.readers.folder import safe_name
from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError, as_utterances, empty_set_aside
from hbaf.corpus.sound.find_audio import AudioFinder
from hbaf.corpus.text.manifest_values import clean, text_or_problem
from hbaf.files import one_place
from hbaf.parameters import CorpusParameters, IemocapParameters

LICENCE = "research use by agreement with the University of Southern California (SAIL)"
SESSIONS = (1, 2, 3, 4, 5)
# The release's codes. The others are xxx (no agreement), sur, fea, dis and oth.
SIX = {"hap": "happy", "sad": "sad", "neu": "neutral", "ang": "angry", "exc": "excited", "fru": "frustrated"}
# With four classes excited counts as happy (the field's habit, for happy alone is rare), and frustrated has no label.
FOUR = {"hap": "happy", "exc": "happy", "sad": "sad", "neu": "neutral", "ang": "angry"}
RELEASE_COUNT, FIELD_COUNT = 7380, 7433  # utterances with one of six labels: by the release, in the field's pickles

LABEL_LINE = re.compile(
    r"\[(?P<start>\d+\.?\d*) *- *(?P<end>\d+\.?\d*)\]\s+(?P<id>\S+)\s+(?P<label>\w+)"
    r"\s+\[(?P<valence>[\d.]+), *(?P<activation>[\d.]+), *(?P<dominance>[\d.]+)\]\s*"
)
TEXT_LINE = re.compile(r"(?P<id>\S+)\s+\[(?P<start>\d+\.?\d*) *- *(?P<end>\d+\.?\d*)\]:\s*(?P<text>.*)")
# Sounds that nobody labelled have ids with XX (Ses05F_script03_2_MXX0), or no id at all ("M: [LAUGHTER]").
SOUND = re.compile(r"_[FM]XX\d+$")
UTTERANCE = re.compile(r"(?P<dialogue>Ses(?P<session>\d\d)[FM]_\w+)_(?P<actor>[FM])\d+")

log = logging.getLogger(__name__)


def read_iemocap(parameters: CorpusParameters) -> Corpus:
    """Reads the release below `parameters.root`: the folder with Session1 to Session5, or the one around it.

    Which labels, whether the rest stays, and which session is test: `parameters.iemocap`. Further columns: `majority`
    (the release's code), `valence`, `activation`, `dominance` (1..5, mean of the annotators), `dialogue_start` (seconds
    in the dialogue's recording) and `subtitle_seconds` (how long the utterance lasts by the label file).

    Raises:
        CorpusError: no session, no test session, a session without label files, too few dialogues for validation, or
            more lines with an unusable id than `parameters.bad_share`.
    """
    if parameters.root is None:
        raise CorpusError("the reader `iemocap` needs a root: the folder with Session1 to Session5.")
    settings, root = parameters.iemocap, _release_folder(one_place(parameters.root))
    sessions = [number for number in SESSIONS if (root / f"Session{number}").is_dir()]
    if settings.test_session not in sessions or len(sessions) < 2:
        raise CorpusError(
            f"{root}: has Session {', '.join(map(str, sessions))}, but session {settings.test_session} for testing and "
            "at least one other are needed. Unpack the whole release, or set `iemocap.test_session`."
        )
    rows: list[dict[str, Any]] = []
    set_aside: list[tuple[str, str, str]] = []
    for number in sessions:
        _read_session(root, number, rows, set_aside)
    if len(set_aside) > parameters.bad_share * (len(rows) + len(set_aside)):
        raise CorpusError(
            f"{root}: {len(set_aside)} of {len(rows) + len(set_aside)} label lines are bad, more than the "
            f"{parameters.bad_share:.0%} allowed. First: {set_aside[0]}. Unpack the release again."
        )
    name = safe_name(parameters.name or "iemocap")
    table = _labelled(pd.DataFrame(rows), settings).assign(corpus=name)
    finder = AudioFinder(root)
    table["audio"], table["audio_problem"] = zip(*map(finder.find, table["audio"]), strict=True)
    count = label_count(int(table["emotion"].notna().sum()), settings.classes)
    log.info(count)
    return Corpus(
        name=name,
        root=root,
        utterances=as_utterances(table.drop(columns="session")),
        splits=_splits(table, settings, parameters.seed),
        emotions=LABEL_SETS[f"iemocap{settings.classes}"],
        set_aside=pd.DataFrame(set_aside, columns=list(empty_set_aside().columns)).astype("str"),
        licence=LICENCE,
        notes=(count,),
    )


def label_count(labelled: int, classes: int) -> str:
    """How many utterances have a label, and for six classes which of the two known counts that is."""
    if classes != 6:
        return f"IEMOCAP: {labelled} utterances with one of {classes} labels"
    known = {
        RELEASE_COUNT: "the count of the release's own majority labels",
        FIELD_COUNT: "the count of the feature files that the field passes on",
    }
    neither = f"neither {RELEASE_COUNT} (the release's majority labels) nor {FIELD_COUNT} (the field's feature files)"
    return f"IEMOCAP: {labelled} utterances with one of 6 labels, {known.get(labelled, neither)}"


def _release_folder(root: Path) -> Path:
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder. Give the folder with Session1 to Session5.")
    around = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    found = [folder for folder in around if any((folder / f"Session{number}").is_dir() for number in SESSIONS)]
    if not found:
        raise CorpusError(f"{root}: no folder Session1 to Session5 in it. Unpack IEMOCAP_full_release there.")
    return found[0]


def _read_session(root: Path, number: int, rows: list[dict[str, Any]], set_aside: list[tuple[str, str, str]]) -> None:
    dialog = root / f"Session{number}" / "dialog"
    files = [path for path in sorted((dialog / "EmoEvaluation").glob("*.txt")) if not path.name.startswith(".")]
    if not files:
        raise CorpusError(f"{dialog / 'EmoEvaluation'}: no label files. Unpack the release again.")
    for file in files:
        texts = _transcripts(dialog / "transcriptions" / file.name, root)
        seen: set[str] = set()
        for line_number, line in enumerate(_lines(file, root), start=1):
            label = LABEL_LINE.fullmatch(line)
            if label is None or SOUND.search(label["id"]):
                continue  # the single annotators' opinions, the heading, a sound
            utterance = UTTERANCE.fullmatch(label["id"])
            if utterance is None or utterance["dialogue"] != file.stem or label["id"] in seen:
                rule = "doubled utterance" if label["id"] in seen else "id is not of this dialogue"
                set_aside.append((f"Session{number}/{file.name}:{line_number}", rule, label["id"]))
                continue
            seen.add(label["id"])
            rows.append(_row(number, label, utterance, texts))
        for unrated in sorted(set(texts) - seen):
            set_aside.append((f"Session{number}/{file.name}:{unrated}", "transcript without a label line", unrated))


def _transcripts(file: Path, root: Path) -> dict[str, str]:
    """Utterance id -> what was said; empty for a dialogue whose transcript is missing."""
    if not os.path.lexists(file):
        return {}
    found = (TEXT_LINE.fullmatch(line) for line in _lines(file, root))
    return {match["id"]: match["text"] for match in found if match and UTTERANCE.fullmatch(match["id"])}


def _lines(file: Path, root: Path) -> list[str]:
    content = read_confined(file, root)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    return [line.strip() for line in text.splitlines()]


def _row(number: int, label: re.Match[str], utterance: re.Match[str], texts: dict[str, str]) -> dict[str, Any]:
    text, text_problem = text_or_problem(clean(texts.get(label["id"], "")))
    return {
        "session": number,
        "dialogue_id": utterance["dialogue"],
        "source_id": label["id"],
        # The letter behind the session only says who wears the markers; the last one says who speaks.
        "speaker": f"Ses{utterance['session']}_{utterance['actor']}",
        "text": text,
        "text_problem": text_problem,
        "audio": f"Session{number}/sentences/wav/{utterance['dialogue']}/{label['id']}.wav",
        "majority": label["label"],
        **{name: float(label[name]) for name in ("valence", "activation", "dominance")},
        "dialogue_start": float(label["start"]),
        "subtitle_seconds": round(float(label["end"]) - float(label["start"]), 4),
    }


def _labelled(table: pd.DataFrame, settings: IemocapParameters) -> pd.DataFrame:
    """Adds `emotion` and `turn`; drops what has no label if the settings say so."""
    table["emotion"] = table["majority"].map(SIX if settings.classes == 6 else FOUR)
    if not settings.keep_unlabelled:
        table = table[table["emotion"].notna()]
    if table["emotion"].isna().all():
        raise CorpusError(f"no utterance has one of the {settings.classes} labels. Unpack the release again.")
    table = table.sort_values(["dialogue_id", "dialogue_start", "source_id"], kind="stable", ignore_index=True)
    table["turn"] = table.groupby("dialogue_id").cumcount()
    return table


def _splits(table: pd.DataFrame, settings: IemocapParameters, seed: int) -> pd.DataFrame:
    """One session is test; of the others `dev_dialogues` are dev, drawn by seed from the sorted names."""
    sessions = table.groupby("dialogue_id")["session"].first()
    others = sorted(str(name) for name in sessions.index[sessions != settings.test_session])
    if settings.dev_dialogues >= len(others):
        raise CorpusError(
            f"iemocap.dev_dialogues is {settings.dev_dialogues}, but outside session {settings.test_session} there are "
            f"{len(others)} dialogues, and some must remain for training. Lower it."
        )
    dev = set(random.Random(seed).sample(others, settings.dev_dialogues))
    names = sorted(str(name) for name in sessions.index)
    chosen = ["dev" if name in dev else "train" if name in others else "test" for name in names]
    return pd.DataFrame({"dialogue_id": names, "split": chosen}, dtype="str")
