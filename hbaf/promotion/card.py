"""The model card: measured when a candidate is judged, written when it becomes the champion."""

import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np

from hbaf.corpus.schema import Corpus
from hbaf.files import read_lines
from hbaf.home import directory, home_folder, published, write_atomically
from hbaf.model.batch import UNLABELLED
from hbaf.promotion.card_text import as_page, card_markdown
from hbaf.promotion.figures import Figures
from hbaf.promotion.verdict import Verdict, without_nan
from hbaf.registry.models import CHAMPION, NoModelError
from hbaf.registry.tracking import MlflowClient, mlflow
from hbaf.training.evaluate import SplitPredictions
from hbaf.training.package import ModelPackage
from hbaf.training.quality.calibration import expected_calibration_error, reliability
from hbaf.training.quality.plots import reliability_plot
from hbaf.training.quality.slices import scores_with_intervals, slices

FIGURES, CARD, PAGE, PLOT = "figures.json", "card.md", "card.html", "reliability.png"
DESCRIPTION_LIMIT = 5000  # characters of a version's description in MLflow


def measure(predictions: SplitPredictions, corpus: Corpus, split: str, threshold: float) -> Figures:
    """Everything that a card says of a candidate's calibrated predictions.

    Args:
        threshold: confidence below which a prediction is `uncertain`.
    """
    labelled = predictions.truth != UNLABELLED
    probability, truth = predictions.probability[labelled], predictions.truth[labelled]
    certain = probability.max(1) >= threshold
    right = probability.argmax(1) == truth
    return Figures(
        split=split,
        counts=_counts(corpus),
        scores=scores_with_intervals(predictions),
        slices=slices(predictions, corpus),
        calibration_error=expected_calibration_error(probability, truth),
        bins=reliability(probability, truth),
        certain={
            "share": float(certain.mean()),
            "precision": float(right[certain].mean()) if certain.any() else np.nan,
        },
        looks=_looks(corpus),
    )


def folder_of(name: str, run_id: str) -> Path:
    """Where the card of the version that a run made lies in the home; numbers are counted by each registry anew."""
    return directory("cards", name, run_id)


def keep_figures(verdict: Verdict, run_id: str, figures: Figures) -> None:
    """Until the candidate is settled, which may be hours later."""
    write_atomically(folder_of(verdict.model, run_id) / FIGURES, json.dumps(without_nan(asdict(figures))).encode())


def publish_card(verdict: Verdict) -> Path:
    """Writes the card beside its figures, and to the run and the version in MLflow; returns the page."""
    client = MlflowClient()
    run_id = str(client.get_model_version(verdict.model, verdict.version).run_id)
    folder = folder_of(verdict.model, run_id)
    before = folder.with_name(f"v{verdict.version}") / FIGURES  # judged by an older hbaf, settled by this one
    kept = folder / FIGURES if (folder / FIGURES).exists() else before
    figures = Figures(**json.loads(kept.read_text()))
    package = Path(mlflow.artifacts.download_artifacts(f"models:/{verdict.model}/{verdict.version}"))
    facts = ModelPackage.load(package / "artifacts" / "package").facts
    columns = {
        k.removesuffix("_column"): v for k, v in client.get_run(run_id).data.tags.items() if k.endswith("_column")
    }
    text = card_markdown(verdict, figures, facts, columns, PLOT)
    with published(folder / PLOT) as beside:
        reliability_plot({f"{figures.split} split": figures.bins}, "").savefig(beside, format="png", dpi=110)
    write_atomically(folder / CARD, text.encode())
    write_atomically(folder / PAGE, as_page(text, {PLOT: (folder / PLOT).read_bytes()}).encode())
    for name in (CARD, PAGE, PLOT):
        client.log_artifact(run_id, str(folder / name), f"card/{verdict.model}")
    client.update_model_version(verdict.model, verdict.version, description=text[:DESCRIPTION_LIMIT])
    return folder / PAGE


def find_card(name: str | None = None, version: str | None = None) -> Path:
    """The folder with a version's card: from this home, or fetched from MLflow.

    Args:
        name: registered model; default: the only one with a champion.
        version: default: the champion.

    Raises:
        NoModelError: no such model, or it has no card.
    """
    from hbaf.promotion.aliases import version_with

    client = MlflowClient()
    if name is None:
        found = [model.name for model in client.search_registered_models() if CHAMPION in (model.aliases or {})]
        if len(found) != 1:
            there = f": {', '.join(found)}. Name one: `hbaf card NAME`." if found else ". Make one: `hbaf promote`."
            raise NoModelError(f"{len(found)} models have a champion{there}")
        name = found[0]
    version = version or version_with(name, CHAMPION)
    if version is None:
        raise NoModelError(f"no model {name!r} with a champion. Make one: `hbaf train`, then `hbaf promote`.")
    try:
        run_id = str(client.get_model_version(name, version).run_id)
        folder = folder_of(name, run_id)
        if (folder / PAGE).exists():
            return folder
        # With a number after the name where an older hbaf wrote it; the number may have been another registry's.
        ours = re.compile(rf"card/{re.escape(name)}(-v\d+)?")
        paths = [found.path for found in client.list_artifacts(run_id, "card") if ours.fullmatch(found.path)]
        if not paths:
            raise FileNotFoundError(f"card/{name}")
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=paths[0], dst_path=str(folder)))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise NoModelError(
            f"{name} version {version} has no card: cards are written when a model becomes the champion."
        ) from error


def _counts(corpus: Corpus) -> dict[str, dict[str, int]]:
    split_of = corpus.utterances["dialogue_id"].map(corpus.splits.set_index("dialogue_id")["split"])
    found = {}
    for split in ("train", "dev", "test", "gate"):
        rows = corpus.utterances[split_of == split]
        if len(rows):
            found[split] = {
                "dialogues": int(rows["dialogue_id"].nunique()),
                "utterances": len(rows),
                "labelled": int(rows["emotion"].notna().sum()),
                "with_voice": int(rows["audio_problem"].isna().sum()),
                "with_words": int(rows["text_problem"].isna().sum()),
            }
    return found


def _looks(corpus: Corpus) -> dict[str, int]:
    """How often anything used the test split of this assignment from this home."""
    lines = read_lines(home_folder() / "test-looks.jsonl")
    digest = corpus.splits_digest()
    reasons = Counter(look.get("reason") == "promotion" for look in lines if look.get("splits_digest") == digest)
    return {"all": sum(reasons.values()), "promotion": reasons[True]}
