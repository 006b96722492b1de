"""What of a source can be checked before it is scheduled: a run at night has nobody to ask."""

import importlib.util

from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.schedule.sources import ScheduledSource, ScheduleError, place_of
from hbaf.inbox.source import Source


def check_source(one: ScheduledSource) -> list[str]:
    """Notes for whoever schedules it.

    Raises:
        hbaf.inbox.source.SourceError: there is no such folder, or it cannot be listed.
        ScheduleError: another source has its name.
        hbaf.inbox.ledger.records.LedgerError: another source is published at its place.
        hbaf.transcription.engine.TranscriptionError: words are asked for, and there is no engine.
        hbaf.scoring.purpose.PurposeError: a licence forbids the purpose.
        hbaf.registry.models.SeveralModelsError: several models have a champion, and none is named.
    """
    from hbaf.registry.cached_champion import champion
    from hbaf.registry.models import NoModelError, SeveralModelsError

    arrivals = Source(one.source).arrivals()
    _check_ledger(one)
    if one.source.words is not None and importlib.util.find_spec("faster_whisper") is None:
        from hbaf.transcription.engine import TranscriptionError, no_engine

        raise TranscriptionError(no_engine(one.source.url))
    notes = [f"{len(arrivals)} arrivals lie there now"] if arrivals else ["nothing lies there yet"]
    try:
        chosen = champion(one.model)
    except SeveralModelsError:
        raise
    except NoModelError as error:
        return [*notes, f"runs fail until there is a champion: {error}"]
    if one.purpose == "commercial":
        from hbaf.inbox.shards import load_predictor
        from hbaf.scoring.purpose import check_purpose

        check_purpose(one.purpose, load_predictor(chosen.model.folder).package.facts)
    return [*notes, f"scored with the champion of then, now {chosen.model.label}"]


def _check_ledger(one: ScheduledSource) -> None:
    ledger = Ledger.existing()
    if ledger is None:
        return
    for known in ledger.sources():
        if known.source == one.name and place_of(known.url) != place_of(one.source.url):
            raise ScheduleError(
                f"{one.name}: what arrived in {known.url} is called so already. Give this source another name: "
                "`--name NAME`."
            )
    ledger.of(one.name).check_place(one.source.place)
