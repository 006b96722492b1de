"""Verbs about a service that runs: what it scores, and how it is."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hbaf.verbs.options import Set, changes_of


def monitor(
    scores: Annotated[list[str] | None, Parameter(negative="")] = None,
    *,
    model: str | None = None,
    output: Path | None = None,
    set_: Set = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Checks whether the conversations scored in the last days differ from the data that the model was trained on.

    Compared are the shares of the emotions, confidence, input quality, the features of audio and text, and the weighted
    F1 expected from the calibrated probabilities. Exit code 1 if a change exceeds both chance and tolerance.

    Try:

        hbaf monitor

        hbaf monitor ~/scored --set monitor.days=30 --json

    Args:
        scores: Folders of scores or published datasets; default: everything that this home scored.
        model: Name of the registered model; default: the only one with a champion.
        output: Folder for the page; default: in the home folder.
        json: Print JSON, for programs.
    """
    from hbaf.home import prepare_environment
    from hbaf.parameters import MonitorParameters

    prepare_environment()
    parameters = MonitorParameters(**changes_of(set_, ("monitor",)).get("monitor", {}))
    from hbaf.monitoring.monitor import as_json, monitor_scores

    found = monitor_scores(parameters, model=model, scores=scores or (), output=output)
    if json:
        print(as_json(found))
    else:
        print(found.message)
        if found.findings is not None:
            for check in found.findings.checks:
                mark = "CHANGED" if check.flagged else ""
                print(f"  {check.name:21} {check.value:7.3f}   bound {check.threshold:.3f}   {mark}".rstrip())
            low, high = found.findings.expected_f1_interval
            print(f"  expected weighted F1 {found.findings.expected_f1:.3f} ({low:.3f} to {high:.3f})")
            print(f"report: {found.page}")
    return 1 if found.flagged else 0


def status(
    *,
    model: str | None = None,
    hours: float = 26,
    quarantine: float = 0.05,
    disk: float = 5,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Shows the state of scoring: last success, backlog, quarantine, champion, disk; exit code 1 if something is wrong.

    Try:

        hbaf status

        hbaf status --json --hours 50

    Args:
        model: Name of the registered model; default: all that have a champion.
        hours: Hours since the last success, or of waiting in the backlog, after which it counts as a problem.
        quarantine: Share of conversations in quarantine, 0..1, above which it counts as a problem.
        disk: Free GB on the home folder's disk below which it counts as a problem.
        json: Print JSON, for programs.
    """
    from hbaf.home import prepare_environment

    prepare_environment()
    from hbaf.monitoring.status import Limits, examine

    found = examine(Limits(hours, quarantine, disk), model)
    if json:
        print(found.as_json())
    else:
        for name, message in found.lines():
            print(f"{name:13} {message}")
        for problem in found.problems:
            print(f"PROBLEM       {problem}")
    return 1 if found.problems else 0
