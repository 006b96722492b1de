"""The case table, as in Figure 7: one dialogue of dev, what each modality says of it, gates and attention."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hbaf.comparison.bench import Run
from hbaf.comparison.jobs import Loading, loaded
from hbaf.comparison.table import REFERENCE
from hbaf.inference.reading import Reading, read
from hbaf.training.package import ModelPackage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TURNS = (5, 9)  # dialogues that fit a page
WORDS = 58  # characters shown of an utterance
ROW, MAP = 0.19, 2.9  # inches
MAPS = {
    "audio": "audio looks at audio",
    "text": "text looks at text",
    "audio_to_text": "audio looks at text",
    "text_to_audio": "text looks at audio",
}


def case_table(runs: Sequence[Run], *, words: bool = False) -> "Figure | None":
    """Of HBAF's first run with kept weights: the dialogue of dev where both modalities together help most.

    Args:
        words: show what was said.
    """
    run = next(
        (
            r
            for r in runs
            if r.job.entrant.name == REFERENCE and (r.outcome.folder / "package" / "package.json").exists()
        ),
        None,
    )
    if run is None:
        return None
    package = ModelPackage.load(run.outcome.folder / "package")
    data = loaded(Loading(run.job.reference, run.job.columns, run.job.features))
    corpus = data.corpus
    fitting = [d for d in data.dev if TURNS[0] <= len(d) <= TURNS[1]] or data.dev
    readings = [read(package.system, dialogue, corpus.emotions) for dialogue in fitting]
    texts = dict(zip(corpus.utterances["utterance_id"], corpus.utterances["text"].fillna(""), strict=True))
    return draw(max(readings, key=worth), run.cell.name, texts if words else None)


def worth(reading: Reading) -> int:
    """Turns that are right from both modalities, more for each modality that alone is wrong there."""
    turns = zip(reading.truth, reading.both, reading.audio, reading.text, strict=True)
    return sum(1 + (audio != truth) + (text != truth) for truth, both, audio, text in turns if both == truth)


def draw(reading: Reading, title: str, words: dict[str, str] | None) -> "Figure":
    """The table above, the attention maps below.

    Args:
        words: what was said by utterance id, or None to leave it out.
    """
    from matplotlib.figure import Figure

    turns = len(reading.utterance_ids)
    rows_of_maps = bool(reading.attention)
    above = 0.6 + ROW * (turns + 1)
    figure = Figure(figsize=(11, above + MAP * rows_of_maps), layout="constrained")
    heights = [above, MAP] if rows_of_maps else [1]
    table, *below = figure.subfigures(1 + rows_of_maps, 1, height_ratios=heights, squeeze=False)[:, 0]
    _table(table.subplots(), reading, title, words)
    for part in below:
        maps = [name for name in MAPS if name in reading.attention]
        for axes, name in zip(np.atleast_1d(part.subplots(1, len(maps))), maps, strict=True):
            _map(axes, reading.attention[name], MAPS[name])
    return figure


def _table(axes: "Axes", reading: Reading, title: str, words: dict[str, str] | None) -> None:
    columns = [
        "turn",
        "speaker",
        *(["words"] if words is not None else []),
        "true",
        "audio alone",
        "text alone",
        "both",
    ]
    columns += [f"gate {name}" for name in reading.gates]
    lines, colours = [], []
    for turn, utterance in enumerate(reading.utterance_ids):
        truth = reading.truth[turn]
        texts = [reading.audio[turn], reading.text[turn], reading.both[turn]]
        line = [str(turn + 1), chr(ord("A") + int(reading.speaker[turn]) % 26)]
        line += [_cut(words.get(utterance, ""))] if words is not None else []
        plain = len(line) + 1
        lines.append([*line, truth or "–", *[label or "–" for label in texts]])
        marks = ["#e3f1e3" if label == truth else "#f8dfdc" if label and truth else "white" for label in texts]
        colours.append(["white"] * plain + marks)
        for gate in reading.gates.values():
            lines[-1].append(f"{gate[turn]:.2f}")
            share = float(gate[turn])  # the bluer, the more a stream keeps of itself
            colours[-1].append((1 - 0.6 * share, 1 - 0.4 * share, 1 - 0.1 * share))  # type: ignore[arg-type]
    axes.axis("off")
    # The id may hold the name of a file or a person, so it is kept back like the words.
    dialogue = "a dialogue of dev" if words is None else reading.utterance_ids[0].rpartition("/")[0]
    axes.set_title(f"{title}: {dialogue}", fontsize=10, loc="left")
    drawn = axes.table(lines, cellColours=colours, colLabels=columns, loc="upper center", cellLoc="left", colLoc="left")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    drawn.auto_set_column_width(list(range(len(columns))))
    for cell in drawn.get_celld().values():
        cell.set_edgecolor("#bbb")


def _map(axes: "Axes", weights: np.ndarray, title: str) -> None:
    turns = range(len(weights))
    # Attention that is spread evenly is pale: only what stands out of it is dark.
    most = max(float(weights.max()), 3 / len(weights))
    axes.imshow(weights, cmap="Greens", vmin=0, vmax=most)
    for row, column in np.ndindex(*weights.shape):
        colour = "white" if weights[row, column] > 0.6 * most else "black"
        axes.text(column, row, f"{100 * weights[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=6)
    axes.set_xticks(turns, [str(turn + 1) for turn in turns], fontsize=7)
    axes.set_yticks(turns, [str(turn + 1) for turn in turns], fontsize=7)
    axes.set_title(f"{title} (%)", fontsize=8)
    axes.set_ylabel("turn", fontsize=7)


def _cut(text: str) -> str:
    return text if len(text) <= WORDS else text[: WORDS - 1].rstrip() + "…"
