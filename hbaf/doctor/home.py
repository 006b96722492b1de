"""The home folder: can it be written, how much space is left, who else wrote it."""

import os
import shutil
from collections.abc import Iterator

from hbaf.doctor.finding import Finding, bad, note, ok
from hbaf.home import FORMAT_VERSION, HomeError, home_folder

SPACE_WANTED = 5e9  # bytes: a model with its features and packages of some searches
FOLDERS = ("corpora", "features", "scores", "runs", "mlflow", "cache")


def look() -> Iterator[Finding]:
    """Whether the home folder can be written and has free space."""
    try:
        folder = home_folder()
        for place in (folder, *(folder / name for name in FOLDERS if (folder / name).exists())):
            probe = place / f".probe-{os.getpid()}.tmp"
            probe.write_text("probe")
            probe.unlink()
    except (HomeError, OSError) as error:
        yield bad("home", str(error), "set HBAF_HOME to a folder that you own, or permit writing there")
        return
    yield ok("home", f"{folder}, format {FORMAT_VERSION}, can be written")
    if folder.stat().st_mode & 0o077 and os.name == "posix":
        yield note("home", f"{folder} may be entered by other accounts", f"chmod 700 {folder}, unless you share it")
    free = shutil.disk_usage(folder).free
    message = f"{free / 1e9:.1f} GB free"
    if free > SPACE_WANTED:
        yield ok("disk", message)
    else:
        yield bad("disk", message, f"free {SPACE_WANTED / 1e9:.0f} GB, or move HBAF_HOME to another disk")
    left = [file for name in FOLDERS for file in (folder / name).rglob(".*.tmp")] if folder.exists() else []
    if left:
        yield note("home", f"{len(left)} temporary files of killed processes", "`hbaf forget` removes old ones")
