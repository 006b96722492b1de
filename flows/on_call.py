"""Events that Prefect's automations wait for (infra/automations.py)."""

from prefect.events import emit_event

from flows.stages import artifact_key
from hbaf.inbox.scheduled import SourceScores

QUARANTINED = "hbaf.inbox.quarantined"
QUARANTINE_SHARE = 0.05  # of what a run looked at


def tell_of_quarantine(scored: SourceScores) -> None:
    """The event `hbaf.inbox.quarantined` where a run put too large a share into quarantine; counts only."""
    share = scored.counts.get("quarantined", 0) / max(1, sum(scored.counts.values()))
    if share > QUARANTINE_SHARE:
        emit_event(
            QUARANTINED,
            resource={
                "prefect.resource.id": f"hbaf.source.{artifact_key(scored.source)}",
                "prefect.resource.name": scored.source,
            },
            payload={
                "message": f"{share:.0%} of this run are in quarantine: `hbaf inbox list`",
                "counts": scored.counts,
            },
        )
