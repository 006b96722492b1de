"""Makes `home-of-2167a1e.tar.xz` beside this file: a small home as that commit wrote it. Run by hand, never by a test.

    python tests/old_home/make_home.py

A git worktree of that commit trains on made-up tones, promotes, scores a folder, scores a source on a schedule and
monitors, each by its own command line, in a home at `/tmp/home-of-2167a1e`. What the fixture does not need goes (the
copy of the code beside the model, which is only for other environments; Data Docs; checkpoints), and it is an error if
a path or a name of this machine is left.
"""

import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import soundfile

COMMIT = "2167a1e"
HOME = Path("/tmp/home-of-2167a1e")
TREE = Path("/tmp/tree-of-2167a1e")
TALKS = HOME / "talks"  # inside, so that the recordings come along
INBOX = HOME / "arrivals"
FIXTURE = Path(__file__).with_name("home-of-2167a1e.tar.xz")
ROOT = Path(__file__).parents[2]
LINES = {"joy": "What a wonderful day, we won the prize", "anger": "Stop shouting at me, you broke it again"}
SMALL = ("model.dim=8", "model.heads=2", "model.feedforward=16", "model.conv_channels=8", "training.max_epochs=15",
         "training.threads=1", "training.monitor=cross_entropy")  # fmt: skip
LENIENT = ("minimum_effect=-1", "class_floor=1", "calibration_tolerance=1", "minimum_speed=0", "minimum_dialogues=1")


def main() -> None:
    """Makes the home, takes out what is large, packs it."""
    if HOME.exists():
        sys.exit(f"{HOME} exists; take it away first")
    TALKS.mkdir(parents=True)
    INBOX.mkdir()
    write_talks()
    git("worktree", "add", "--detach", str(TREE), COMMIT)
    try:
        run_it(TREE)
    finally:
        git("worktree", "remove", "--force", str(TREE))
    take_out()
    pack()
    shutil.rmtree(HOME)
    print(f"{FIXTURE}: {FIXTURE.stat().st_size} bytes")


def write_talks() -> None:
    """Thirty dialogues of two turns; words and tones both tell the emotion."""
    rows = ["dialogue,turn,speaker,text,audio,emotion"]
    for dialogue in range(30):
        for turn, emotion in enumerate(("joy", "anger") if dialogue % 3 else ("anger", "joy")):
            name = f"d{dialogue}_{turn}.flac"
            tone(TALKS / name, {"joy": 300, "anger": 150}[emotion] + dialogue)
            rows.append(f'd{dialogue},{turn},{"AB"[turn]},"{LINES[emotion]}, number {dialogue}",{name},{emotion}')
    (TALKS / "talks.csv").write_text("\n".join(rows) + "\n")
    tone(INBOX / "call.flac", 200, seconds=0.8)
    (INBOX / "call.vtt").write_text(
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.390\n<v A>We won the prize\n\n"
        "00:00:00.400 --> 00:00:00.790\n<v B>You broke it again\n"
    )
    (INBOX / "call.ready").touch()


def tone(file: Path, pitch: float, seconds: float = 0.3) -> None:
    """Without noise, so that it compresses to almost nothing."""
    at = np.arange(int(8000 * seconds)) / 8000
    soundfile.write(file, np.round(0.3 * np.sin(2 * np.pi * pitch * at), 2), 8000)


def run_it(tree: Path) -> None:
    """The commands of that commit."""

    def hbaf(*arguments: str) -> None:
        command = [sys.executable, "-c", "from hbaf.cli import main; main()", *arguments]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HBAF_", "MLFLOW_", "PREFECT_"))}
        environment = {**kept, "HBAF_HOME": str(HOME), "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "USER": "hbaf"}
        # Not in the checkout: its .git would be noted, and its prefect.toml read.
        done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, check=False)
        print(f"$ hbaf {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        if done.returncode:
            sys.exit(done.returncode)

    changes = [part for change in SMALL for part in ("--set", change)]
    source = (str(TALKS), "--set", "corpus.gate_share=0.3")
    hbaf("train", *source, "--recipe", "demo", "--set", "features.audio=mfcc", *changes, "--quiet")
    hbaf("promote", *source, *(part for rule in LENIENT for part in ("--set", f"promotion.{rule}")), "--quiet")
    hbaf("score", str(TALKS), "--purpose", "research", "--csv", "--quiet")
    hbaf("inbox", "score", str(INBOX), "--purpose", "research")
    hbaf("monitor")


def take_out() -> None:
    """What is large and not read."""
    for model in (HOME / "mlflow" / "artifacts").rglob("MLmodel"):
        shutil.rmtree(model.parent / "code", ignore_errors=True)
    for folder in ("docs", "cache", *(path.relative_to(HOME) for path in HOME.glob("scores/*/report/conversations"))):
        shutil.rmtree(HOME / folder, ignore_errors=True)
    for file in [*HOME.rglob("*.ckpt"), *HOME.rglob("*.lock"), *HOME.rglob("*.png")]:
        file.unlink()


def pack() -> None:
    """One archive without owners; an error if something of this machine is in it."""
    telling = {str(ROOT), str(ROOT.resolve()), sys.prefix, f"{Path.home()}/"}
    telling |= {name for name in (socket.gethostname(),) if len(name) > 4}  # a shorter one is in every file
    for file in sorted(path for path in HOME.rglob("*") if path.is_file()):
        content = file.read_bytes()
        for word in telling:
            if word.encode() in content:
                sys.exit(f"{file}: holds {word}")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=9) as archive:
        archive.add(HOME, arcname="home", filter=nobody)
    FIXTURE.write_bytes(buffer.getvalue())


def nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True)


if __name__ == "__main__":
    main()
