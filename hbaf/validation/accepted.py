"""The last version of a corpus that passed: what the next version's labels are held against.

Kept per corpus name in `validated/<name>.json` of the home: figures alone, no words and no ids.
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hbaf.corpus.schema import Corpus
from hbaf.home import directory, write_atomically
from hbaf.validation.report import ValidationResult


@dataclass(frozen=True)
class Accepted:
    """Figures of one version.

    Attributes:
        digest: `Corpus.digest()`.
        accepted: when it passed, ISO 8601.
        utterances: all of them.
        labels: emotion -> utterances.
    """

    digest: str
    accepted: str
    utterances: int
    labels: dict[str, int]

    def shares(self) -> dict[str, float]:
        """Emotion -> share of the labelled utterances, 0..1."""
        total = sum(self.labels.values())
        return {emotion: count / total for emotion, count in self.labels.items()} if total else {}


def accepted_before(corpus: Corpus) -> Accepted | None:
    """The last accepted version that is not this one, so that a validation repeated says the same again."""
    versions = _versions(accepted_file(corpus.name))
    others = [version for version in versions if version.digest != corpus.digest()]
    return others[-1] if others else None


def accept(corpus: Corpus, result: ValidationResult) -> bool:
    """Keeps this version's figures if it passed; returns whether it did."""
    if not result.ok:
        return False
    file = accepted_file(corpus.name)
    versions = [version for version in _versions(file) if version.digest != corpus.digest()]
    counts = corpus.utterances["emotion"].value_counts()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    labels = {str(emotion): int(count) for emotion, count in sorted(counts.items())}
    versions.append(Accepted(corpus.digest(), now, len(corpus.utterances), labels))
    # Two are enough: the newest, and the one before it for when the newest is validated again.
    write_atomically(file, json.dumps([asdict(version) for version in versions[-2:]], indent=1).encode())
    return True


def label_shift(corpus: Corpus, before: Accepted | None) -> tuple[float | None, str]:
    """The largest change of any label's share, 0..1, and in words which; None where there is nothing to compare."""
    counts = corpus.utterances["emotion"].value_counts()
    if before is None or not before.labels or not len(counts):
        return None, ""
    now, then = {str(name): count / counts.sum() for name, count in counts.items()}, before.shares()
    changes = {name: now.get(name, 0.0) - then.get(name, 0.0) for name in sorted({*now, *then})}
    most = max(changes, key=lambda name: abs(changes[name]))
    change = f"{most} {then.get(most, 0.0):.1%} -> {now.get(most, 0.0):.1%} since {before.digest[:12]}"
    return abs(changes[most]), f"{change} ({before.accepted[:10]}, {before.utterances} utterances)"


def _versions(file: Path) -> list[Accepted]:
    try:
        return [Accepted(**version) for version in json.loads(file.read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        return []  # a damaged file is as good as none: the next corpus that passes writes it anew


def accepted_file(name: str) -> Path:
    """Where the figures of a corpus of this name are kept."""
    safe = re.sub(r"[^\w-]+", "_", name) or "corpus"
    return directory("validated") / f"{safe}.json"
