"""One interactive page about a study: history, importance, slices, and which values went together."""

import html
from collections.abc import Callable
from functools import partial
from pathlib import Path

import optuna
from optuna.trial import TrialState

from hbaf.search.study import SharedStudy

SCORE = "dev weighted F1"
# Plotly draws with scripts and styles of its own, which are all in the page; nothing is fetched or sent.
CONTENT_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'\">"
)


def write_plots(study: SharedStudy, path: Path) -> list[str]:
    """Writes an HTML file that needs no network.

    Returns:
        The names of the plots in it; those that need two complete trials are left out before.
    """
    import optuna.visualization as drawn

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    searched = sorted({name for trial in complete for name in trial.params})
    plots: dict[str, Callable[[optuna.Study], object]] = {
        "history": partial(drawn.plot_optimization_history, target_name=SCORE)
    }
    if len(complete) > 1 and len({trial.value for trial in complete}) > 1:
        if len(searched) > 1:
            plots["importance"] = partial(drawn.plot_param_importances, target_name=SCORE)
            plots["parallel"] = partial(drawn.plot_parallel_coordinate, target_name=SCORE)
        plots["slices"] = partial(drawn.plot_slice, target_name=SCORE)
        plots["learning curves"] = drawn.plot_intermediate_values
    parts = []
    for number, draw in enumerate(plots.values()):
        figure = draw(study)
        parts.append(figure.to_html(full_html=False, include_plotlyjs=number == 0))  # type: ignore[attr-defined]  # a plotly figure
    head = f'<!doctype html><meta charset="utf-8">{CONTENT_POLICY}<title>{html.escape(study.study_name)}</title>'
    path.write_text(head + "\n".join(parts), encoding="utf-8")
    return list(plots)
