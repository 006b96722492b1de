"""Verbs about what is kept: forget it, and walk back from a prediction."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from hbaf.privacy.receipts import Receipt


def forget(
    name: str | None = None,
    *,
    kind: Literal["conversation", "speaker", "corpus", "annotator"] | None = None,
    older_than: str | None = None,
    scores: Annotated[list[Path] | None, Parameter(negative="")] = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Deletes a conversation, a speaker or a corpus from features, corpora, labels, scores, reports and caches.

    Labels that people gave go with their conversations; with `--kind annotator` they stay, without the name.

    Your own recordings and manifests are not touched: delete them too, or the next run reads them again. Models
    that were trained on the corpus are listed and stay as they are. A receipt without names is left in the home folder.

    Try:

        hbaf forget calls/2026-03-14-1007 --dry-run

        hbaf forget "Speaker 7" --kind speaker

        hbaf forget --older-than 90d

    Args:
        name: Corpus, conversation (also as `corpus/conversation`), speaker or annotator.
        kind: What the name is; needed only where it could be several.
        older_than: Instead of a name: everything last prepared or scored longer ago than this, as 12h, 90d or 8w.
        scores: Folder of scores outside the home folder; repeatable.
        dry_run: Only list what would be deleted.
        quiet: Print only what is left to do, and where the receipt is.
    """
    from hbaf.home import prepare_environment
    from hbaf.privacy.forget import forget as remove
    from hbaf.privacy.retention import parse_age

    prepare_environment()
    age = None if older_than is None else parse_age(older_than)
    receipt = remove(name, kind=kind, older_than=age, scores=tuple(scores or ()), dry_run=dry_run)
    if not quiet:
        _counted(receipt, dry_run)
    if receipt.models:
        print("trained on what is forgotten, and not changed (train again without it, then promote or delete them):")
    for model in receipt.models:
        print(f"  run {model.run_id}  {model.model}{'  CHAMPION' if model.champion else ''}")
    if receipt.left_in:
        print("texts of what is forgotten still stand in these files of the home folder; look at them:")
        for left in receipt.left_in:
            print(f"  {left}")
    if receipt.file:
        print(f"receipt: {receipt.file}")
    if not quiet:
        print("The recordings and their manifest are where they were: deleting them is up to you.")
    return 0


def _counted(receipt: "Receipt", dry_run: bool) -> None:
    """What went, or would go, in numbers."""
    print(f"{'would forget' if dry_run else 'forgotten'} ({receipt.kind}):")
    print(f"  {receipt.utterances} rows of {len(receipt.corpora)} saved corpora")
    shared = f"; {receipt.shared_contents} stay, others said the same" if receipt.shared_contents else ""
    print(f"  {receipt.vectors} feature vectors{shared}")
    print(f"  {receipt.scores} scored rows in {receipt.score_folders} folders, with their reports")
    if receipt.published:
        print(f"  {receipt.published} published rows, of whole conversations; no later run publishes them again")
    if receipt.arrivals:
        print(f"  {receipt.arrivals} names in the inbox; what is quarantined or waits stays out too")
    if receipt.labels:
        stay = ", which stay without the name" if receipt.kind == "annotator" else ""
        print(f"  {receipt.labels} labels that people gave{stay}")
    if not dry_run:
        print(f"  {receipt.validations} validations in MLflow and {receipt.studies} searches; caches and Data Docs")


def why(row: str, *, scores: str | None = None) -> int:
    """Traces a prediction back to its model, run, features, corpus and recording; exit code 1 if a step is missing.

    Try:

        hbaf why example-new/d000/3

        hbaf why calls/17/0 --scores ./scored

    Args:
        row: utterance_id of a scored row.
        scores: Folder of scores or published dataset; default: the latest score of this row that the home folder knows.
    """
    from hbaf.home import prepare_environment
    from hbaf.privacy.why import why as walk

    prepare_environment()
    steps = walk(row, scores)
    for step in steps:
        print(f"{step.name}{'' if step.whole else '  <- not found: what lies before it cannot be traced'}")
        for name, value in step.facts.items():
            print(f"  {name:12} {value}")
    return 0 if all(step.whole for step in steps) else 1
