"""Verbs about the installation: the demo and the doctor."""

import subprocess
import sys
from typing import Literal


def demo(*, audio: Literal["compare2016", "mfcc"] = "compare2016", dialogues: int = 320, seed: int = 0) -> int:
    """Makes the example corpus, trains HBAF, text only and audio only, promotes and scores: the whole way.

    Try:

        hbaf demo

        hbaf demo --audio mfcc        # without openSMILE, whose licence forbids commercial use

    Args:
        audio: Audio representation.
        dialogues: Size of the example corpus.
        seed: Of corpus and training.
    """
    # The flows are above this package, and it never imports them.
    command = [sys.executable, "-m", "flows.demo", f"--audio={audio}", f"--dialogues={dialogues}", f"--seed={seed}"]
    return subprocess.run(command, check=False).returncode


def doctor() -> int:
    """Looks at the installation and says what is wrong, with the fix; exit code 1 if something is."""
    from hbaf.doctor import examine

    findings = examine()
    for finding in findings:
        print(
            f"{'ok  ' if finding.ok else 'BAD '} {finding.subject}: {finding.said}"
            + ("" if finding.ok else f"\n     fix: {finding.fix}")
        )
    return 0 if all(finding.ok for finding in findings) else 1
