"""The words of a model card, as Markdown, and the same as a page that needs nothing beside it."""

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hbaf.markdown import cell, code, plain
from hbaf.parameters import RECIPES, Parameters, from_recipe
from hbaf.promotion.figures import Figures
from hbaf.promotion.verdict import Verdict
from hbaf.training.package import PackageFacts

INTENDED = """\
Made for reading how emotion is expressed in recorded conversations, in aggregate and with a person who looks at \
single cases: research, quality of one's own corpora, tools whose users know of it and agreed.

- **Prohibited in the EU:** inferring emotions of people at the workplace and in education (AI Act, Regulation (EU) \
2024/1689, Article 5(1)(f)), save for medical or safety reasons.
- **High-risk in the EU:** every other use that infers emotions of people (Annex III, point 1(c)), with the duties \
that come with it; people must be told (Article 50(3)). Elsewhere other law applies: ask before this runs on people.
- Not for decisions about a single person: hiring, credit, insurance, policing, health, grades or pay.
- Labels are what annotators heard, not what anybody felt. Voices, languages, ages and rooms unlike those of the \
corpus are not covered by any number above."""


def card_markdown(
    verdict: Verdict, figures: Figures, facts: PackageFacts, columns: Mapping[str, str], plot: str
) -> str:
    """The card of a promoted version.

    Args:
        columns: modality -> digest of the feature column that was trained on.
        plot: file name of the reliability plot.
    """
    origin, scores = facts.origin, figures.scores
    whole = scores["weighted_f1"]
    reads = _reads(figures, facts)
    parts = [
        f"# {plain(verdict.model)} version {verdict.version}",
        f"Emotion recognition in conversations: {', '.join(map(plain, facts.emotions))}. {reads} Weighted F1 "
        f"**{whole['value']:.3f}** [{whole['low']:.3f}, {whole['high']:.3f}] on the {figures.split} split of "
        f"{code(origin.get('corpus'))}. Champion since {verdict.at[:10]}.",
        "## Intended use and limits", INTENDED,
        "## Data", _data(figures, facts, columns),
        "## Licences", _licences(facts),
        "## Protocol", _protocol(figures, facts),
        "## Scores", _scores(scores),
        "## Where it is better and worse", _slices(figures),
        "## Without a modality", _missing(facts),
        "## Calibration", _calibration(figures, facts, plot),
        "## Why it was promoted", verdict.markdown(),
        "## How to make it again", _reproduce(facts),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def as_page(markdown: str, images: Mapping[str, bytes]) -> str:
    """A card as one HTML file with its pictures inside, in the style of the reports.

    Args:
        images: file name as in the Markdown -> PNG.
    """
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    from hbaf.report.pages import render

    # The preset that lets no HTML of the text through: names of corpora and reasons are what a user typed.
    body = MarkdownIt("js-default").render(markdown)
    for name, png in images.items():
        body = body.replace(f'src="{name}"', f'src="data:image/png;base64,{base64.b64encode(png).decode()}"')
    return render("card", title=markdown.partition("\n")[0].lstrip("# "), body=Markup(body))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Numbers stand on the right: every column but the first."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell(value) for value in line)} |" for line in lines)


def _reads(figures: Figures, facts: PackageFacts) -> str:
    kinds = {"bimodal": "Reads voice and words.", "audio": "Reads the voice alone.", "text": "Reads the words alone."}
    train = figures.counts.get("train", {})
    absent = [
        side for side in ("voice", "words") if train.get(f"with_{side}") == 0 and side in kinds[facts.model.variant]
    ]
    learned = f" What it learned from has no {' and no '.join(absent)}." if absent else ""
    return kinds[facts.model.variant] + learned


def _data(figures: Figures, facts: PackageFacts, columns: Mapping[str, str]) -> str:
    origin = facts.origin
    counts = table(
        ("split", "dialogues", "utterances", "labelled"),
        [(name, c["dialogues"], c["utterances"], c["labelled"]) for name, c in figures.counts.items()],
    )
    digests = [("corpus", origin.get("corpus_digest")), ("splits", origin.get("splits_digest"))]
    digests += [(f"{modality} features, {_extractor(facts, modality)}", digest) for modality, digest in columns.items()]
    return counts + "\n\n" + "\n".join(f"- {what}: {code(digest)}" for what, digest in digests)


def _extractor(facts: PackageFacts, modality: str) -> str:
    return plain(facts.extractors.get(modality, {}).get("name", "?"))


def _licences(facts: PackageFacts) -> str:
    rows = [
        (
            modality if modality == "corpus" else f"{modality} features ({_extractor(facts, modality)})",
            licence or "not known",
        )
        for modality, licence in facts.licences.items()
    ]
    use = "allow" if facts.commercial else "**do not all allow**"
    return "\n".join(f"- {what}: {plain(licence)}" for what, licence in rows) + (
        f"\n\nThe licences of the feature extractors {use} commercial use of features and model."
    )


def _protocol(figures: Figures, facts: PackageFacts) -> str:
    looks = figures.looks
    others = looks["all"] - looks["promotion"]
    return (
        f"Scaling, selection and weights are fitted on train; the epoch, temperature and threshold are chosen on dev; "
        f"the scores here are of the {figures.split} split. Recipe {code(facts.training.recipe)}, seed "
        f"{facts.training.seed}. The test split of this assignment was looked at {_times(looks['all'])} from this "
        f"home so far: {looks['promotion']} for promotions, {others} for other reasons. Weighted F1 on dev was "
        f"{facts.dev_metrics.get('weighted_f1', math.nan):.3f}, a number that flatters: dev chose the epoch."
    )


def _scores(scores: Mapping[str, Mapping[str, float]]) -> str:
    names = {"weighted_f1": "weighted F1", "macro_f1": "macro F1", "uar": "UAR", "accuracy": "accuracy"}
    whole = table(
        ("", "value", "95 % interval"),
        [(label, f"{scores[n]['value']:.3f}", _interval(scores[n])) for n, label in names.items()],
    )
    per_class = table(
        ("emotion", "F1", "95 % interval", "precision", "recall", "utterances"),
        [
            (name.removeprefix("f1/"), f"{s['value']:.3f}", _interval(s), f"{s['precision']:.3f}", f"{s['recall']:.3f}",
             f"{s['support']:.0f}")
            for name, s in scores.items() if name.startswith("f1/")
        ],
    )  # fmt: skip
    return f"{whole}\n\n{per_class}\n\nIntervals are from a bootstrap over dialogues."


def _interval(score: Mapping[str, float]) -> str:
    low, high = score["low"], score["high"]
    return "" if low is None or math.isnan(low) else f"{low:.3f} to {high:.3f}"


def _slices(figures: Figures) -> str:
    rows = [
        (f"{what}: {part['slice']}" if what != "modality" else part["slice"], part["utterances"],
         "too few" if part["weighted_f1"] is None else f"{part['weighted_f1']:.3f}")
        for what, found in figures.slices.items() for part in found
    ]  # fmt: skip
    return table(("slice", "labelled utterances", "weighted F1"), rows)


def _missing(facts: PackageFacts) -> str:
    if not facts.missing:
        return "Not measured: the package is older than that."
    rows = [
        (f"no {modality} at all", f"{score:.3f}", "yes" if facts.trained_to_miss.get(modality) else "no")
        for modality, score in facts.missing.items()
    ]
    rows.insert(0, ("everything there", f"{facts.dev_metrics['weighted_f1']:.3f}", ""))
    return table(("dev", "weighted F1", "trained to do without"), rows) + (
        "\n\nWhat a model was not trained to do without, it guesses; scoring marks such rows `unscored`."
    )


def _calibration(figures: Figures, facts: PackageFacts, plot: str) -> str:
    found = facts.calibration
    if not found.measured:
        return f"Never calibrated. Expected calibration error {figures.calibration_error:.3f} on {figures.split}."
    certain = figures.certain
    precision = "" if certain["precision"] is None or math.isnan(certain["precision"]) else (
        f"; on {figures.split} {certain['precision']:.0%} of them are right"
    )  # fmt: skip
    uncertain = (
        f"A prediction with a confidence below {found.threshold:.3f} is `uncertain`, so that "
        f"{found.target_precision:.0%} of the others were right on dev."
        if found.threshold > 0
        else (
            f"No prediction is `uncertain`: {found.precision:.0%} of all on dev were right, and "
            f"{found.target_precision:.0%} are asked."
        )
    )
    return (
        f"Temperature {found.temperature:.3f}, fitted on dev. Expected calibration error (top label, 15 bins of equal "
        f"width): **{figures.calibration_error:.3f}** on {figures.split}; on dev {found.error:.3f}, without the "
        f"temperature {found.error_before:.3f}.\n\n"
        f"{uncertain} {certain['share']:.0%} of the utterances of {figures.split} are certain{precision}.\n\n"
        f"![Share of right labels over confidence]({plot})"
    )


def _reproduce(facts: PackageFacts) -> str:
    origin, recipe = facts.origin, facts.training.recipe
    versions = dict(origin.get("versions", {}))
    commit = versions.pop("commit", None)
    source = "example" if origin.get("corpus") == "example" else "CORPUS"
    changed = _changed(recipe, facts)
    command = f"hbaf train {source}" + (f" --recipe {recipe}" if recipe in RECIPES and recipe != "paper" else "")
    lines = [
        *([f"git checkout {commit}"] if commit else []),
        " \\\n    ".join([command, *changed]),
        f"hbaf promote {source}",
    ]
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    what = (
        ""
        if source == "example"
        else f"`CORPUS` is the folder of the corpus {code(origin.get('corpus'))} with the digest above. "
    )
    lines = [line.replace("```", "` ` `") for line in lines]  # what was typed ends no block
    return (
        "```console\n"
        + "\n".join(lines)
        + f"\n```\n\n{what}{plain(libraries)}. MLflow run {code(origin.get('run_id'))}."
    )


def _changed(recipe: str, facts: PackageFacts) -> list[str]:
    """`--set STAGE.NAME=VALUE` for everything that differs from the recipe and decides the outcome."""
    stages: dict[str, Parameters] = {"features": facts.features, "model": facts.model, "training": facts.training}
    starts = dict(zip(stages, from_recipe(recipe if recipe in RECIPES else "paper"), strict=True))
    aside = {"workers", "batch_size", "device", "threads", "store"}  # how, not what; a store's address stays private
    found = []
    for stage, given in stages.items():
        start = starts[stage].model_dump(mode="json")
        for name, value in given.model_dump(mode="json").items():
            if name not in aside and value != start[name]:
                found.append(f"--set {stage}.{name}={value if isinstance(value, str) else json.dumps(value)}")
    return found


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
