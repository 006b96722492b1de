"""Do the ledger and what is published agree? Every published conversation stands there once, as the ledger notes it."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hbaf.inbox.ledger.fence import Fence
from hbaf.inbox.ledger.records import Conversation
from hbaf.inbox.ledger.source_ledger import SourceLedger
from hbaf.inbox.ledger.states import UNFINISHED, State
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.publish.postgres import PostgresResult
from hbaf.inbox.publish.publication import Publication, publications_in

COLUMNS = (
    "utterance_id", "conversation", "source", "arrival", "conversation_digest", "model_version", "run_id", "status",
)  # fmt: skip
SHOWN = 3  # differences that an error names


class Fault(StrEnum):
    """How ledger and dataset differ on a conversation."""

    MISSING = "the ledger calls it published, and the dataset lacks it"
    OTHER = "the dataset has another content, model or number of rows than the ledger notes"
    TWICE = "it stands in the dataset twice"
    MOVED = "it stands in another part than the ledger notes"
    UNKNOWN = "it stands in the dataset, and the ledger does not call it published"
    DUPLICATE = "it stands in the dataset, though it is the duplicate of another conversation"
    FORGOTTEN = "it was forgotten, and is published"
    POSTGRES = "PostgreSQL lacks it or has another score of it"


MENDED = {
    Fault.MISSING: "the next run scores it again",
    Fault.OTHER: "the next run scores it again",
    Fault.TWICE: "one is left",
    Fault.MOVED: "noted",
    Fault.UNKNOWN: "noted as published",
    Fault.DUPLICATE: "taken out",
    Fault.FORGOTTEN: "taken out",
    Fault.POSTGRES: "written there again",
}


@dataclass(frozen=True)
class Standing:
    """A conversation as it stands in one part of the dataset.

    Attributes:
        whole: no utterance of it stands there twice.
    """

    part: int
    arrival: str
    publication: Publication
    whole: bool

    def is_as_noted(self, known: Conversation) -> bool:
        """Whether it is what the ledger calls published."""
        one = self.publication
        by = (one.run_id, known.run_id) if known.run_id else (one.model_version, known.model_version)
        same = (one.digest, one.rows) == (known.published_digest, known.rows)
        return self.whole and same and by[0] == by[1]


@dataclass(frozen=True)
class Difference:
    """A conversation that ledger and dataset differ on.

    Attributes:
        standing: where it stands.
        kept: the one that stays there, where there is one.
        restored: PostgreSQL has what the ledger notes, so that nothing need be scored again.
    """

    conversation: str
    fault: Fault
    standing: tuple[Standing, ...] = ()
    kept: Standing | None = None
    restored: bool = False

    @property
    def mended(self) -> str:
        """What `repair` does about it."""
        return "written again from PostgreSQL" if self.restored else MENDED[self.fault]


class Disagreement(RuntimeError):
    """A run published, and the dataset does not hold what the ledger notes."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        first = "; ".join(f"{one.conversation}: {one.fault}" for one in differences[:SHOWN])
        super().__init__(
            f"ledger and dataset differ on {len(differences)} conversations that this run published. First {first}. "
            "They were mended or are scored again by the next run: start it again. `hbaf verify` compares all others."
        )


@dataclass(frozen=True)
class Agreement:
    """Compares one source's ledger with its published places, and makes them agree; nobody else works there."""

    ledger: SourceLedger
    parquet: ParquetDataset
    postgres: PostgresResult | None
    fence: Fence

    def differences(self, names: Collection[str] | None = None) -> list[Difference]:
        """What differs, by name of the conversation.

        Args:
            names: only these conversations, in the parts that the ledger notes of them; default: all, everywhere.
        """
        known = self.ledger.conversations(names)
        standing: dict[str, list[Standing]] = defaultdict(list)
        for one in self._standing({line.part or 0 for line in known.values()} if names is not None else None):
            name = one.publication.conversation
            if names is None or name in known:
                standing[name].append(one)
        copies = {} if self.postgres is None else self.postgres.standing(self.ledger.source, names)
        everywhere = standing.keys() | known.keys() | copies.keys()
        forgotten = self.ledger.forgotten_among(everywhere - known.keys())
        found = []
        for name in sorted(everywhere):
            line, here = known.get(name), standing[name]
            kept = _kept(line, here)
            fault = Fault.FORGOTTEN if name in forgotten else _fault(line, here)
            as_noted = line is not None and copies.get(name) == _noted(line, kept)
            published = line is not None and line.state == State.PUBLISHED
            if fault is None and published and self.postgres is not None and not as_noted:
                fault = Fault.POSTGRES
            if fault is not None:
                restored = as_noted and fault in (Fault.MISSING, Fault.OTHER)
                found.append(Difference(name, fault, tuple(here), kept, restored))
        return found

    def repair(self, differences: Sequence[Difference]) -> None:
        """Makes them agree; may be stopped at any moment and done again."""
        of: dict[Fault, list[Difference]] = {fault: [] for fault in Fault}
        for one in differences:
            of[one.fault].append(one)
        out = [one.conversation for one in (*of[Fault.FORGOTTEN], *of[Fault.DUPLICATE])]
        if out:
            if self.postgres is not None:
                self.postgres.remove(out, self.fence)
            self.parquet.remove(out, self.fence)
        left = [one for one in differences if one.conversation not in set(out) and one.kept is not None]
        self._keep_one(left)
        unknown = [one.kept for one in of[Fault.UNKNOWN] if one.kept is not None]
        arrivals = {one.publication.conversation: one.arrival for one in unknown}
        self.ledger.note_standing(arrivals, [one.publication for one in unknown])
        self.ledger.note_parts({one.conversation: one.kept.part for one in left if one.kept is not None})
        self._restore([one.conversation for one in differences if one.restored])
        lost = [one for one in (*of[Fault.MISSING], *of[Fault.OTHER]) if not one.restored]
        broken = [one.publication.conversation for one in unknown if not one.whole]
        self.ledger.publish_again([*(one.conversation for one in lost), *broken])
        if self.postgres is not None:
            right = {one.conversation for one in left} - set(broken) - {one.conversation for one in lost}
            self.postgres.replace(self.parquet.read(right), self.fence)

    def _keep_one(self, differences: Sequence[Difference]) -> None:
        """Takes conversations out of the parts that they shall not stand in."""
        copies: dict[int, set[str]] = defaultdict(set)
        for one in differences:
            for standing in one.standing:
                if one.kept is not None and standing.part != one.kept.part:
                    copies[standing.part].add(one.conversation)
        for part, names in copies.items():
            self.parquet.remove(names, self.fence, [part])

    def _restore(self, names: Collection[str]) -> None:
        """Writes conversations into the dataset as PostgreSQL has them."""
        if names and self.postgres is not None:
            rows = self.postgres.read(names)
            parts = self.ledger.parts_for({one.conversation: one.rows for one in publications_in(rows)})
            self.parquet.replace(rows, parts, self.fence)

    def _standing(self, parts: Collection[int] | None) -> Iterator[Standing]:
        for part in self.parquet.parts() if parts is None else sorted(parts):
            table = self.parquet.part(part, COLUMNS)
            frame = table.to_pandas()
            own = (frame["source"] == self.ledger.source).to_numpy()
            by_name = frame[own].groupby("conversation", observed=True)
            arrivals, utterances = by_name["arrival"].first(), by_name["utterance_id"].nunique()
            rows = by_name.size()
            for one in publications_in(table.filter(own)):
                name = one.conversation
                yield Standing(part, str(arrivals[name]), one, bool(rows[name] == utterances[name] == one.rows))


def _fault(known: Conversation | None, here: Sequence[Standing]) -> Fault | None:
    if known is None:
        return Fault.UNKNOWN if here else None
    elsewhere = any(one.part != known.part for one in here)
    if known.state in UNFINISHED:  # the next run publishes it, in its part
        return Fault.TWICE if elsewhere else None
    if known.published_digest is None:
        return None if not here else Fault.DUPLICATE if known.state == State.DUPLICATE else Fault.UNKNOWN
    if not here:
        return Fault.MISSING
    if not any(one.is_as_noted(known) for one in here):
        return Fault.OTHER
    if len(here) == 1:
        return Fault.MOVED if elsewhere else None
    return Fault.TWICE


def _noted(known: Conversation, kept: Standing | None) -> tuple[str | None, str | None, int | None]:
    """What PostgreSQL shall have of it; an older ledger did not note the run of a model."""
    run = known.run_id or (None if kept is None else kept.publication.run_id)
    return known.published_digest, run, known.rows


def _kept(known: Conversation | None, here: Sequence[Standing]) -> Standing | None:
    """Of several the one that the ledger notes, then one in the part that it notes."""

    def order(one: Standing) -> tuple[bool, bool]:
        return known is None or not one.is_as_noted(known), known is None or one.part != known.part

    return min(here, key=order, default=None)
