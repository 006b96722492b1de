"""What was forgotten, without a name; and the journal that completes what was interrupted, with names, until then."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from hbaf.home import directory, home_folder, write_atomically
from hbaf.registry.trained_on import TrainedModel

ReceiptState = Literal["begun", "done", "dry run"]


@dataclass(frozen=True)
class Receipt:
    """What was forgotten: counts and digests, no name and no word.

    Attributes:
        subject: salted sha256 of what was asked for; whoever knows the name can check it.
        utterances: rows of saved corpora.
        vectors: rows of the feature store, over all columns.
        shared_contents: contents that stay because conversations that stay hold the same words or sound.
        scores: rows of scored tables.
        score_folders: how many of them were written anew or removed.
        published: rows that scheduled scoring had published; conversations go whole there.
        arrivals: lines of the inbox, published or not; their names go.
        labels: that people gave; those of an annotator stay, without the name.
        validations, studies: runs of validations in MLflow, and searches, that were about those corpora.
        corpora: digest of each saved corpus before -> after; "" where nothing is left.
        models: runs that were trained on one of those corpora. They are not changed.
        left_in: files of the home that still hold one of the texts, as paths inside it; a person has to look.
        file: where this receipt lies; None for a dry run.
    """

    kind: str
    subject: str
    salt: str
    at: str
    state: ReceiptState
    utterances: int = 0
    vectors: int = 0
    shared_contents: int = 0
    scores: int = 0
    score_folders: int = 0
    published: int = 0
    arrivals: int = 0
    labels: int = 0
    validations: int = 0
    studies: int = 0
    corpora: dict[str, str] = field(default_factory=dict)
    models: tuple[TrainedModel, ...] = ()
    left_in: tuple[str, ...] = ()
    file: Path | None = None

    @property
    def touches_anything(self) -> bool:
        """Whether there is something to remove."""
        return bool(self.utterances or self.scores or self.published or self.arrivals or self.labels)

    @property
    def place(self) -> Path:
        """Its file in `receipts`, written or not."""
        return self.file or directory("receipts") / f"{self.at.replace(':', '')}-{self.subject[:8]}.json"

    def written(self, state: ReceiptState) -> "Receipt":
        """Written in that state to its file."""
        file = self.place
        receipt = replace(self, state=state, file=file)
        facts = {name: value for name, value in asdict(receipt).items() if name != "file"}
        write_atomically(file, json.dumps(facts, indent=1).encode())
        return receipt


def earlier_digests(digests: Collection[str]) -> set[str]:
    """These versions of corpora and those that they were made of by forgetting, as the receipts tell."""
    known = set(digests)
    files = sorted((home_folder() / "receipts").glob("*.json"), reverse=True)
    before = [json.loads(file.read_text()).get("corpora", {}) for file in files]
    while True:
        more = {old for corpora in before for old, new in corpora.items() if new in known} - known
        if not more:
            return known
        known |= more
