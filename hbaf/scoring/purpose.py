"""What scores are made for, and which licences allow it."""

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hbaf.training.package import PackageFacts

# What a person says the scores are for; it is kept with every row.
Purpose = Literal["research", "personal", "commercial"]

# Words of a licence that rule out commercial use, wherever they stand.
FORBIDS = re.compile(
    r"research (use|only|purposes)|non-?commercial|no commercial|not for commercial|academic|\bNC\b|-NC(-|\b)|"
    r"\bunknown\b|see the model's card|"
    r"GPL-3\.0 \(transcripts\)",  # what packages trained on MELD said at first
    re.IGNORECASE,
)


class PurposeError(ValueError):
    """A licence forbids the purpose."""


def check_purpose(purpose: Purpose, facts: "PackageFacts") -> None:
    """Refuses what the licences of the model's features and of its training corpus do not allow.

    Raises:
        PurposeError: commercial use of something that forbids it, or whose licence is not known.
    """
    if purpose != "commercial":
        return
    forbidden = {name: licence for name, licence in facts.licences.items() if FORBIDS.search(licence)}
    if not forbidden and not facts.commercial:
        forbidden = {name: facts.licences.get(name, "unknown") for name in facts.extractors}
    if forbidden:
        named = "; ".join(f"{_what(name, facts)}: {licence}" for name, licence in sorted(forbidden.items()))
        raise PurposeError(
            f"--purpose commercial: this model rests on what forbids commercial use, or does not allow it: {named}. "
            "Train one on free features and on a corpus that you may use, as `hbaf train SOURCE --set "
            "features.audio=mfcc`, or ask the owners for a licence."
        )


def _what(name: str, facts: "PackageFacts") -> str:
    if name == "corpus":
        return f"the corpus {facts.origin.get('corpus', '')} it was trained on"
    return f"{name} features ({getattr(facts.features, name, '')})"
