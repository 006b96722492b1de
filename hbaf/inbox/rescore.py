"""Backfill after a promotion: what came since a day is scored again with the champion of now."""

import time
from collections.abc import Callable
from datetime import datetime

from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.scheduled import MapShards, SourceScores, one_after_another, score_source
from hbaf.inbox.source import SourceParameters
from hbaf.registry.cached_champion import champion
from hbaf.scoring.purpose import Purpose


def rescore(
    parameters: SourceParameters,
    since: datetime,
    *,
    purpose: Purpose,
    model: str | None = None,
    workers: int | None = None,
    map_shards: MapShards = one_after_another,
    now: Callable[[], float] = time.time,
) -> SourceScores:
    """Scores again what arrived since then with another model; the earlier score stands until the new one does.

    What is marked stays marked until it is done, so a killed backfill is finished by any later run. Conversations whose
    files are gone keep their score.
    """
    ledger = Ledger.open()
    with ledger.alone(parameters.label, parameters.place) as fence:
        ledger.of(parameters.label, fence=fence).to_rescore(since.timestamp(), champion(model).model)
    return score_source(parameters, purpose=purpose, model=model, workers=workers, map_shards=map_shards, now=now)
