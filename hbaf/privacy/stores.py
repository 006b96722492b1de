"""Every store of a home that can hold what a person said or is called, and how each forgets.

What is kept in a new place of the home is registered here, and in docs/privacy.md; a test plants a mark in each and
reads the whole home afterwards. Each `remove` may be stopped at any moment and done again.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hbaf.corpus.annotations import Annotation, annotated_corpora, change_annotations
from hbaf.corpus.prepare import save
from hbaf.corpus.schema import save_corpus
from hbaf.corpus.text.transcripts.made_here import place_in_home
from hbaf.features.columns import default_store
from hbaf.home import home_folder
from hbaf.inbox.ledger.database import Ledger, SourceBusy
from hbaf.inbox.publish.living_report import remove_report
from hbaf.inbox.publish.published_scores import score_store
from hbaf.parameters import SearchParameters
from hbaf.privacy.places import abandoned_files
from hbaf.privacy.plan import Plan, left
from hbaf.privacy.receipts import Receipt
from hbaf.privacy.subject import labels_of, lines_of, saved_corpora
from hbaf.registry.trained_on import remove_run, run_keys, validations_of
from hbaf.scoring.store import ScoredTable
from hbaf.search.plan import storage_url
from hbaf.search.studies import remove_studies_of
from hbaf.validation.accepted import accepted_file
from hbaf.validation.suite import docs_name


@dataclass(frozen=True)
class Store:
    """Places that forget together.

    Attributes:
        folders: of the home.
        remove: takes out what a plan names; returns the receipt with what it counted.
    """

    folders: tuple[str, ...]
    remove: Callable[[Plan, Receipt], Receipt]


def tables_of(scores: Iterable[str]) -> tuple[ScoredTable, ...]:
    """All scored tables: the home's, and folders of scores outside it."""
    outside = score_store(tuple(scores)).tables if scores else ()
    return (*score_store().tables, *outside)


def _scores(plan: Plan, receipt: Receipt) -> Receipt:
    # What was outside the home may have gone whole before an interruption.
    scores = [place for place in plan.scores if "://" in place or Path(place).exists()]
    for table in tables_of(scores):
        table.remove(plan.subject.select)
    return receipt


def _inbox(plan: Plan, receipt: Receipt) -> Receipt:
    """Names of what arrived, published or not, and what runs that were killed left half done."""
    ledger = Ledger.existing()
    if ledger is None:
        return receipt
    for source, conversations, arrivals in lines_of(plan.subject):
        with ledger.alone(source) as fence:
            ledger.of(source, fence=fence).forget(conversations, arrivals)
            remove_report(source)
    for one in ledger.sources():
        # A run that goes on has begun with that, and removes what it makes.
        with suppress(SourceBusy), ledger.alone(one.source, wait=False):
            shutil.rmtree(home_folder() / "inbox" / "work" / one.source, ignore_errors=True)
    ledger.erase()
    return receipt


def _vectors(plan: Plan, receipt: Receipt) -> Receipt:
    for url in (None, *plan.stores):
        default_store(url).forget(set(plan.keys))
    return receipt


def _validations(plan: Plan, receipt: Receipt) -> Receipt:
    found = validations_of(plan.digests, plan.corpora)
    for run in found:
        remove_run(run)
    for name in plan.corpora:
        shutil.rmtree(home_folder() / "docs" / docs_name(name), ignore_errors=True)
    shutil.rmtree(home_folder() / "docs" / "results", ignore_errors=True)  # an older hbaf left one there
    for name in plan.whole:
        accepted_file(name).unlink(missing_ok=True)
    return replace(receipt, validations=receipt.validations + len(found))


def _searches(plan: Plan, receipt: Receipt) -> Receipt:
    removed = remove_studies_of(plan.digests, storage_url(SearchParameters()))
    return replace(receipt, studies=receipt.studies + len(removed))


def _checkpoints(plan: Plan, receipt: Receipt) -> Receipt:
    for key in run_keys(plan.digests):
        for file in (home_folder() / "runs" / key[:16]).rglob("*.ckpt"):
            file.unlink(missing_ok=True)
    return receipt


def _caches(plan: Plan, receipt: Receipt) -> Receipt:
    """Nobody knows whose they are; they only save time, or tell of an error."""
    for file in (home_folder() / "cache").glob("facts.sqlite*"):
        file.unlink(missing_ok=True)
    shutil.rmtree(home_folder() / "errors", ignore_errors=True)
    for file in abandoned_files():
        file.unlink(missing_ok=True)
    return receipt


def _transcripts(plan: Plan, receipt: Receipt) -> Receipt:
    """What the home keeps of recordings in which somebody speaks who goes; before the corpora, which name them."""
    for saved in saved_corpora():
        rows = saved.corpus.utterances[plan.subject.rows_of(saved)]
        for digest in set(rows["audio_digest"].dropna()) if "audio_digest" in rows else ():
            place_in_home(str(digest)).unlink(missing_ok=True)
    for file in (home_folder() / "transcripts").glob("*.json"):
        if plan.subject.before is not None and file.stat().st_mtime < plan.subject.before:
            file.unlink(missing_ok=True)
    return receipt


def _labels(plan: Plan, receipt: Receipt) -> Receipt:
    """Labels about what is forgotten go; those of an annotator stay, without name, file and note."""
    nobody = f"forgotten {plan.receipt.subject[:8]}"
    for corpus in annotated_corpora():
        after: dict[Annotation, Annotation | None] = dict.fromkeys(labels_of(plan.subject, corpus))
        if plan.subject.kind == "annotator":
            after = {one: replace(one, annotator=nobody, file="", note="") for one in after}
        change_annotations(corpus, partial(_changed, after))
    return receipt


def _changed(after: Mapping[Annotation, Annotation | None], there: Sequence[Annotation]) -> list[Annotation]:
    """Annotations with some of them in another form, or gone where there is none."""
    return [kept for one in there if (kept := after.get(one, one)) is not None]


def _corpora(plan: Plan, receipt: Receipt) -> Receipt:
    for saved in saved_corpora():
        gone = plan.subject.rows_of(saved)
        if not gone.any():
            continue
        if saved.folder.parent.name == "imported":  # named by the user, not by content
            if gone.all():
                shutil.rmtree(saved.folder)
            else:
                save_corpus(left(saved, gone), saved.folder)
            continue
        if not gone.all():
            save(left(saved, gone))
        shutil.rmtree(saved.folder)
    return receipt


STORES: tuple[Store, ...] = (
    Store(("scores", "published", "exports"), _scores),
    Store(("inbox", "reports"), _inbox),
    Store(("features",), _vectors),
    Store(("docs", "validated", "mlflow"), _validations),
    Store(("search",), _searches),
    Store(("runs",), _checkpoints),
    Store(("cache", "errors"), _caches),
    Store(("transcripts",), _transcripts),
    Store(("labels",), _labels),
    Store(("corpora", "imported"), _corpora),
)
