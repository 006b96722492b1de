"""What people and their files are called, as it may stand in logs, Data Docs, Prefect and MLflow.

An id out of numbers and the field's own words (`d012`, `train-110`, `Ses05F_impro03`, `2026-03-14-1007`) says nothing
of anybody and stays. Any other (`anna_smith`, a file's name, a telephone number) becomes `~` and a short digest, keyed
by a secret of this home so that nobody can find a name by trying names. `HBAF_SHOW_NAMES=1` shows everything as it is.
"""

import hashlib
import hmac
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from hbaf.files import create_once
from hbaf.home import HomeError, home_folder

SHOW = "HBAF_SHOW_NAMES"
LENGTH = 10  # hex digits
KEY_BYTES = 32
# Words that ids of conversations are made of, beside single letters.
PLAIN_WORDS = {
    "call", "calls", "chunk", "clip", "conv", "conversation", "dev", "dia", "dialog", "dialogue", "dlg",
    "file", "fold", "id", "impro", "item", "no", "part", "rec", "recording", "row", "script", "ses",
    "session", "set", "test", "train", "turn", "utt", "utterance", "val",
}  # fmt: skip
DATE = re.compile(r"(19|20)\d\d-?[01]\d-?[0-3]\d")
MOST_DIGITS = 6  # beside a date: a longer number may be somebody's


def shows_names() -> bool:
    """Whether the user asked for names and words in logs, Data Docs, Prefect and MLflow."""
    return os.environ.get(SHOW, "").lower() in ("1", "true", "yes", "on")


def shown_name(name: str) -> str:
    """A dialogue id or a name as it may be shown."""
    return name if shows_names() or is_plain(name) else pseudonym(name)


def shown_id(utterance_id: Any) -> Any:
    """`corpus/dialogue/turn`, or `corpus/dialogue`, with the dialogue as it may be shown.

    The corpus is called what the user called it (`corpus.name`). A missing id (NaN) is shown as it is.
    """
    if not isinstance(utterance_id, str):
        return utterance_id
    corpus, slash, rest = utterance_id.partition("/")
    dialogue, turn_slash, turn = rest.rpartition("/")
    if not slash:
        return shown_name(utterance_id)
    if turn_slash and turn.isdecimal():
        return f"{corpus}/{shown_name(dialogue)}/{turn}"
    return f"{corpus}/{shown_name(rest)}"


def pseudonym(name: str) -> str:
    """`~` and a digest; the same name is the same pseudonym in this home."""
    return (
        "~" + hmac.new(_secret(home_folder()), name.encode("utf-8", "surrogateescape"), "sha256").hexdigest()[:LENGTH]
    )


def is_plain(name: str) -> bool:
    """Whether an id is made of numbers and words of the field alone."""
    if re.search(r"[^A-Za-z0-9._/-]", name):
        return False
    words = re.findall(r"[A-Za-z]+", name)
    # A capital begins a word: Ses05F.
    parts = [part.lower() for word in words for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]", word)]
    known = all(part in PLAIN_WORDS or len(part) == 1 for part in parts) and sum(len(part) == 1 for part in parts) < 4
    return known and len(re.sub(r"\D", "", DATE.sub("", name))) <= MOST_DIGITS


@lru_cache
def _secret(home: Path) -> bytes:
    """This home's key, made once; several processes may come first.

    Raises:
        HomeError: the key is too short to keep a name from being found by trying names.
    """
    file = home / "pseudonyms.key"
    if not file.exists():
        create_once(file, os.urandom(KEY_BYTES))
    key = file.read_bytes()
    if len(key) < KEY_BYTES:
        raise HomeError(
            f"{file}: holds {len(key)} bytes in place of {KEY_BYTES}, so pseudonyms made with it would hide nobody. "
            "Bring it back from a backup; without one delete it, and ids are called anew from now on."
        )
    return hashlib.sha256(key).digest()
