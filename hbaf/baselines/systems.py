"""The table of compared systems by name.

Each takes `audio_dim, text_dim, commonsense_dim, emotions` and its own sizes as keywords, reads a `DialogueBatch` and
gives a `SystemOutput`. `reading` is True where no code by the authors was to be had, so that what stands here is our
reading of the paper: set apart in every table. `source` is what to cite.
"""

from typing import ClassVar, Literal, Protocol

from hbaf.baselines.floors.logistic_regression import LogisticRegression
from hbaf.baselines.floors.majority import Majority
from hbaf.baselines.published.bc_lstm import BcLSTM
from hbaf.baselines.published.cmn import CMN
from hbaf.baselines.published.cosmic import COSMIC
from hbaf.baselines.published.dialogue_rnn import DialogueRNN
from hbaf.baselines.published.mmgcn import MMGCN
from hbaf.baselines.published.sdt import SDT
from hbaf.baselines.published.telme import TelME
from hbaf.baselines.readings.agf_ib import AGFIB
from hbaf.baselines.readings.hgraph_cl import HGraphCL
from hbaf.baselines.readings.m2fnet import M2FNet
from hbaf.baselines.readings.m2r2 import M2R2
from hbaf.baselines.readings.mamba import Mamba


class System(Protocol):
    """What every class of the table says of itself."""

    reading: ClassVar[bool]
    source: ClassVar[str]


SYSTEMS: dict[str, type] = {
    "majority": Majority,
    "logistic-regression": LogisticRegression,
    "bc-lstm": BcLSTM,
    "cmn": CMN,
    "dialogue-rnn": DialogueRNN,
    "cosmic": COSMIC,
    "mmgcn": MMGCN,
    "telme": TelME,
    "sdt": SDT,
    "m2fnet-style": M2FNet,
    "hgraph-cl-style": HGraphCL,
    "agf-ib-style": AGFIB,
    "m2r2-style": M2R2,
    "mamba-style": Mamba,
}

FLOORS = ("majority", "logistic-regression")

Standing = Literal["floor", "published", "reading"]


def standing(name: str) -> Standing:
    """What a row of a table may claim: a floor, a published system simplified to audio + text, or our reading.

    Raises:
        KeyError: no system of this name.
    """
    if name not in SYSTEMS:
        raise KeyError(f"no system named {name!r}; there are {', '.join(SYSTEMS)}.")
    if name in FLOORS:
        return "floor"
    system: type[System] = SYSTEMS[name]
    return "reading" if system.reading else "published"


def source(name: str) -> str:
    """The publication a system goes back to."""
    system: type[System] = SYSTEMS[name]
    return system.source
