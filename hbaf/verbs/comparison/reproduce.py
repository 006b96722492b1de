"""`hbaf reproduce`: the paper's whole set of comparisons on one corpus, or what it would cost."""

from pathlib import Path

from hbaf.verbs.comparison.compare import show, telling
from hbaf.verbs.options import RUN_STAGES, CorpusOptions, Quiet, Set, SettingError, aloud, changes_of


def reproduce(
    *,
    corpus: str = "meld",
    root: Path | None = None,
    seeds: int = 5,
    recipe: str = "paper",
    audio: str | None = None,
    text: str | None = None,
    representations: str | None = None,
    trials: int = 0,
    workers: int | None = None,
    set_: Set = None,
    dry_run: bool = False,
    write: Path | None = None,
    quiet: Quiet = False,
) -> int:
    """Runs all comparisons of the paper: systems and representations (Figure 6), ablations (Table 2), contrastive loss.

    Earlier runs, also those of `hbaf compare`, are reused. `--dry-run` estimates hours, disk and downloads, and does
    nothing else.

    Try:

        hbaf reproduce --corpus meld --root ~/MELD.Raw --dry-run

        hbaf reproduce --corpus example --recipe demo --seeds 1 --representations mfcc,egemaps

    Args:
        corpus: `meld`, `iemocap` or `example`.
        root: Folder of the unpacked release.
        seeds: Number of runs of each system.
        recipe: Named settings to start from; `paper` has the full model size.
        audio: Audio features of the compared systems; default: the recipe's.
        text: Text features of all runs; default: `roberta-large`, the paper's, or the recipe's for `example`.
        representations: Audio features compared in Figure 6, comma-separated; default: the paper's six.
        trials: Tuning runs of each compared system on dev.
        workers: Number of runs at a time; default: one per core.
        dry_run: Only estimate hours, disk and downloads.
        write: Also write a page of results to this file.
    """
    from hbaf import pipeline
    from hbaf.comparison.reproduce import paper_set, representations_of_the_paper
    from hbaf.comparison.reproduce import reproduce as run
    from hbaf.corpus.prepare import split_corpus
    from hbaf.parameters import from_recipe

    if root is None and corpus != "example":
        raise SettingError(f"--root: which folder holds the unpacked release of {corpus}?")
    options = CorpusOptions(reader=None if corpus == "example" else corpus, set_=set_, quiet=quiet)
    changes = changes_of(set_, RUN_STAGES)
    features, model, training = from_recipe(
        recipe, **{stage: changes.get(stage, {}) for stage in ("features", "model", "training")}
    )
    named = tuple(representations.split(",")) if representations else representations_of_the_paper()
    text = text or (features.text if corpus == "example" or "text" in changes.get("features", {}) else "roberta-large")
    parts = paper_set(
        seeds=seeds, recipe=recipe, audio=audio or features.audio, text=text, representations=named, trials=trials,
        workers=workers,
    )  # fmt: skip
    skipped = [line for part in parts for line in part.skipped]
    source = corpus if root is None else str(root)
    if dry_run:
        from hbaf.comparison.cost import cost_of
        from hbaf.corpus.read import read_corpus

        parameters = options.corpus(source, RUN_STAGES)
        read = split_corpus(read_corpus(parameters), parameters)
        cost = cost_of(parts, read, features, model, training, workers)
        print("\n".join([*(f"{part.title}: {part.asked.systems}" for part in parts), *cost.lines(), *skipped]))
        return 0
    reference = pipeline.valid(options.corpus(source, RUN_STAGES), progress=options.progress, step=aloud)
    with telling(quiet) as say:
        done = run(reference, parts, changes, page=write, say=say)
    for part, report in done:
        print(f"\n{part.title}")
        show(report)
    print("\n".join(f"left out: {line}" for line in skipped))
    return 1 if any(report.failures for _, report in done) else 0
