"""Verbs about the installation: the demo and the doctor."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from hbaf.verbs.options import Recipe, Set, SettingError, settings


def demo(*, audio: Literal["compare2016", "mfcc"] = "compare2016", dialogues: int = 320, seed: int = 0) -> int:
    """Runs every step on the example corpus: make it, train HBAF, text only and audio only, promote, score.

    Try:

        hbaf demo

        hbaf demo --audio mfcc        # without openSMILE, whose licence forbids commercial use

    Args:
        audio: Audio features: openSMILE's ComParE 2016, or MFCC.
        dialogues: Number of dialogues in the example corpus.
        seed: Random seed of corpus and training.
    """
    # The flows are above this package, and it never imports them. Not with -m: each process that the demo starts would
    # run that module's imports again, ten seconds of them.
    command = [
        sys.executable,
        "-c",
        "from flows.demo_process import main; main()",
        f"--audio={audio}",
        f"--dialogues={dialogues}",
        f"--seed={seed}",
    ]
    return subprocess.run(command, check=False).returncode


def settings_(
    name: str | None = None,
    *,
    write: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Lists what can be set: name, default, what is allowed, the paper's symbol where it has one, and the meaning.

    Try:

        hbaf settings model

        hbaf settings model.tau

    Args:
        name: A stage, or one setting as `stage.name`; default: all.
        write: Write them all as a page of Markdown here, as docs/settings.md is.
        json_: Print a list of settings as JSON: name, default, allowed, symbol, meaning.
    """
    import json
    from dataclasses import asdict

    from hbaf.parameters import RECIPES, STAGES
    from hbaf.settings import did_you_mean, page, settings_of

    every = settings_of(STAGES, RECIPES)
    if write is not None:
        write.write_text(page(every), encoding="utf-8")
        print(f"wrote {write}")
        return 0
    shown = [one for one in every if name is None or one.name == name or one.name.startswith(f"{name}.")]
    if not shown:
        known = [*STAGES, *(one.name for one in every)]
        raise SettingError(
            f"{name}: there is no such setting.{did_you_mean(str(name), known)} Stages: {', '.join(STAGES)}."
        )
    if json_:
        print(json.dumps([asdict(one) for one in shown], indent=1, ensure_ascii=False))
    else:
        print("\n".join(one.lines() for one in shown))
    return 0


def doctor(
    *,
    recipe: Recipe = "paper",
    set_: Set = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Checks versions, home folder, GPU, weights, servers and licences; exit code 1 if something is wrong.

    Servers are those that the environment or the active Prefect profile names. Each is tested with one write, which
    is removed again.

    Try:

        hbaf doctor

        hbaf doctor --set features.text=roberta-large     # are these weights present and undamaged

    Args:
        recipe: Recipe whose pretrained weights are checked.
        json_: Print the findings as a JSON list with the keys subject, verdict (ok, note, bad), message, fix.
    """
    import json
    from dataclasses import asdict

    from hbaf.doctor import examine

    findings = examine(settings(recipe, set_)[0])
    if json_:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(finding.lines())
    return int(any(finding.verdict == "bad" for finding in findings))
