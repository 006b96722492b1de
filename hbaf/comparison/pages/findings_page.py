"""Answers written into a page between marks of their own, so that what people wrote round them stays."""

from pathlib import Path

from hbaf.comparison.bench import Comparison
from hbaf.comparison.pages.findings import Question, section
from hbaf.home import write_atomically


def render(questions: tuple[Question, ...], comparison: Comparison, split: str, about: str) -> str:
    """All questions that the runs can answer, as Markdown.

    Args:
        about: how the runs were made: command, width, seeds.
    """
    parts = [about, *(section(question, comparison, split) for question in questions)]
    return "\n\n".join(part for part in parts if part)


def write_block(page: Path, name: str, text: str) -> None:
    """Replaces what stands between `<!-- name -->` and `<!-- /name -->` in a page; appends it if there is none."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{begin}\n{text}\n{end}"
    before = page.read_text() if page.exists() else ""
    if begin in before and end in before:
        head, _, rest = before.partition(begin)
        block = head + block + rest.partition(end)[2]
    else:
        block = f"{before.rstrip()}\n\n{block}\n" if before else block + "\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, block.encode())


def about(comparison: Comparison, command: str) -> str:
    """Where the numbers come from, in a paragraph."""
    ended = [run.outcome.facts for run in comparison.runs if run.outcome.facts is not None]
    if not ended:
        return "No run has ended."
    one = ended[0]
    seeds = sorted({facts.seed for facts in ended})
    model = {name: one.arguments.get(name) for name in ("dim", "encoder_layers", "feedforward")}
    size = ", ".join(f"{name} {value}" for name, value in model.items() if value is not None)
    training = {name: one.training[name] for name in ("learning_rate", "batch_dialogues", "max_epochs", "patience")}
    listed = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in training.items())
    return (
        f"    {command}\n\nSeeds {', '.join(map(str, seeds))}; {size}; {listed}; {one.audio} + {one.text}. "
        f"hbaf {one.versions['hbaf']}, torch {one.versions['torch']}."
    )
