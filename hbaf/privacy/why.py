"""From one prediction back to the model, its run, the feature shards, the corpus and the recording."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hbaf.corpus.schema import is_missing
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.features.columns import default_store
from hbaf.features.imported.columns import imported_keys
from hbaf.features.imported.facts import KIND as IMPORTED
from hbaf.features.selection.selected import digest_of, selected_identity
from hbaf.home import home_folder, located
from hbaf.inbox.publish.published_scores import score_store
from hbaf.registry.lineage import Lineage, lineage_of
from hbaf.scoring.hub import is_hub
from hbaf.scoring.store import FoundScore


class WhyError(LookupError):
    """There is no such prediction."""


@dataclass(frozen=True)
class Step:
    """One link of the chain.

    Attributes:
        name: what it is, for people.
        facts: name -> value, in the order to read them.
        whole: False where the chain is broken here: something is gone or changed.
    """

    name: str
    facts: dict[str, str]
    whole: bool = True


def why(utterance_id: str, scores: Path | str | None = None) -> list[Step]:
    """Walks from a prediction to the recording.

    Args:
        utterance_id: as in scores.parquet, `corpus/dialogue/turn`.
        scores: a folder of scores or a published dataset; default: the latest score of this row that the home knows.

    Raises:
        WhyError: no scores hold this row.
        hbaf.scoring.scores_folder.ScoresError: the place holds no scores.
    """
    store = score_store([] if scores is None else [scores])
    found = store.find(utterance_id)
    if found is None:
        near = store.example()
        hint = f" An id looks like {near}." if near else " Score something first: `hbaf score`."
        raise WhyError(
            f"{utterance_id}: not in {len(store.tables)} scored tables.{hint} `--scores FOLDER` names another place."
        )
    row, facts = found.row, found.table.facts
    # Name and number may be another run's in another registry.
    model = str(row["model_version"])
    if is_hub(model):
        made = [Step("model", {"version": model, "published": "a model of the hub, not trained on your data"})]
    else:
        lineage = lineage_of(model, "" if is_missing(row.get("run_id")) else str(row["run_id"]))
        keeps = facts.get("keep_features") != "none"
        vectors = [_features(modality, row, lineage, keeps, found.conversation) for modality in lineage.columns]
        made = [_model(lineage), _run(lineage), *vectors]
    return [
        _prediction(found),
        *made,
        _corpus(facts) if is_missing(row.get("conversation_digest")) else _arrival(row, found),
        _audio(row, facts),
    ]


def _prediction(found: FoundScore) -> Step:
    row = found.row
    probability = {
        name[2:]: float(value) for name, value in row.items() if name.startswith("p_") and not is_missing(value)
    }
    ranked = sorted(((value, name) for name, value in probability.items()), reverse=True)[:3]
    label = f"{row['label']} ({', '.join(f'{name} {value:.2f}' for value, name in ranked)})"
    if not probability:
        label = f"unscored: {row.get('unscored_reason')}"
    facts = {"utterance": str(row["utterance_id"]), "label": label}
    for modality in ("audio", "text"):
        problem = row.get(f"{modality}_problem")
        if not is_missing(problem):
            facts[f"{modality} alone"] = f"not used: {problem}"
        elif not is_missing(row.get(f"{modality}_label")):
            gate = row.get(f"gate_{modality}")
            kept = "" if is_missing(gate) else f"; the stream keeps {float(gate):.0%} of its own view"  # type: ignore[arg-type]
            facts[f"{modality} alone"] = f"{row[f'{modality}_label']} {float(row[f'{modality}_confidence']):.2f}{kept}"
    return Step("prediction", {**facts, "scores": found.table.place})


def _model(lineage: Lineage) -> Step:
    if not lineage.run_id:
        from hbaf.registry.tracking import tracking_address

        return Step("model", {"version": lineage.model, "gone": f"not in {tracking_address()}"}, whole=False)
    champion = "the champion now" if lineage.champion else "not the champion now"
    return Step("model", {"version": f"{lineage.model}, {champion}", "package": lineage.package})


def _run(lineage: Lineage) -> Step:
    facts = {"run": lineage.run_id, "status": lineage.status, **lineage.recorded}
    return Step("run", {name: value for name, value in facts.items() if value}, whole=lineage.status == "FINISHED")


def _features(modality: str, row: dict[str, Any], lineage: Lineage, keeps: bool, scored: pd.DataFrame) -> Step:
    """The vector that was read; `keeps` says whether scoring kept any, `scored` holds the whole conversation."""
    column = lineage.columns[modality]
    named = f"{modality} features"
    facts = {"extractor": lineage.extractors.get(modality, "?"), "column": column}
    context = lineage.context if modality == "text" else 0
    if context:
        facts["context"] = f"{context} turns before, whose words the key covers"
    key = _key(modality, row, facts["extractor"], context, scored)
    if key is None:
        return Step(named, {**facts, "vector": "none: this modality was missing"})
    candidates = [column]
    if modality == "audio" and lineage.selection:
        # Scoring keeps the numbers that the model reads, in a column of their own; training kept the whole rows.
        facts["selection"] = lineage.selection
        facts["selected"] = digest_of(selected_identity(column, lineage.selection))
        candidates = [facts["selected"], column]
    store = default_store(lineage.store)
    place = next((place for digest in candidates if (place := store.locate(digest, key)) is not None), None)
    if place is not None:
        shard = {"key": key, "shard": place.path, "row": f"{place.row}, written {place.created:%Y-%m-%d %H:%M} UTC"}
        return Step(named, {**facts, **shard})
    if not keeps:
        return Step(named, {**facts, "key": key, "vector": "not kept, as it was scored with --keep-features none"})
    return Step(named, {**facts, "key": key, "gone": "not in the store; scoring again makes it"}, whole=False)


def _key(modality: str, row: dict[str, Any], extractor: str, context: int, scored: pd.DataFrame) -> str | None:
    """Where the store keeps this row's vector: by content, or by utterance where it was imported."""
    if extractor == IMPORTED:
        return imported_keys(pd.DataFrame([row]))[0]
    keys = utterance_keys(scored, "audio" if modality == "audio" else "text", context)
    key = keys[scored["utterance_id"] == row["utterance_id"]].iloc[0]
    return None if is_missing(key) else str(key)


def _corpus(facts: Mapping[str, Any]) -> Step:
    digest = str(facts.get("corpus_digest", ""))
    saved = [*(home_folder() / "corpora").glob(f"*-{digest[:12] or 'none'}-*/corpus.json")]
    place = str(saved[0].parent) if saved else "not kept any more"
    return Step("corpus", {"name": str(facts.get("corpus", "?")), "digest": digest, "saved": place}, whole=bool(saved))


def _arrival(row: dict[str, Any], found: FoundScore) -> Step:
    """What scheduled scoring read; it keeps no corpus."""
    facts = {
        "source": str(row["source"]),
        "arrival": str(row["arrival"]),
        "digest": str(row["conversation_digest"]),
    }
    return Step("conversation", {**facts, "from": str(found.table.facts.get("corpus_root") or "not known here")})


def _audio(row: dict[str, Any], facts: Mapping[str, Any]) -> Step:
    digest, name, root = row.get("audio_digest"), row.get("audio"), facts.get("corpus_root")
    if is_missing(digest) or is_missing(name):
        return Step("recording", {"sha256": "none: scored without audio"})
    facts = {"sha256": str(digest)}
    for part, unit in (("channel", ""), ("start", " s"), ("end", " s")):
        if not is_missing(row.get(part)):
            facts[part] = f"{row[part]}{unit}"
    if root and "://" in str(root):
        return Step("recording", {**facts, "file": f"{str(root).rstrip('/')}/{name}, not read again"})
    file = Path(located(root)) / str(name) if root else None
    if file is None or not file.is_file():
        return Step("recording", {**facts, "file": f"{file or name}: not there any more"}, whole=False)
    with file.open("rb") as stream:
        same = hashlib.file_digest(stream, "sha256").hexdigest() == digest
    return Step("recording", {**facts, "file": f"{file}, {'unchanged' if same else 'CHANGED since'}"}, whole=same)
