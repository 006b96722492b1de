"""Which file a manifest row means, without ever leaving the corpus folder."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath

# Order of preference where one clip lies there in several kinds.
AUDIO_SUFFIXES = (
    ".wav", ".flac", ".aiff", ".aif", ".au", ".caf", ".w64", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mp3", ".wma",
    ".amr", ".webm", ".mka", ".mp4", ".m4v", ".mov", ".mkv", ".avi", ".flv", ".3gp", ".mpg", ".mpeg", ".ts",
    ".rf64", ".aifc", ".snd", ".wv", ".tta", ".ape", ".spx", ".mp2", ".mpga", ".m4b", ".ac3", ".gsm", ".awb", ".3g2",
    ".wmv", ".asf", ".mts", ".m2ts", ".ogv", ".voc", ".sph",
)  # fmt: skip


def folded(name: str) -> str:
    """One spelling of names that file systems of other machines take for the same: case, composed letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class AudioFinder:
    """Finds the files of one corpus folder; opens none.

    A name is looked for as it is written, then as other systems write it: another case, decomposed letters, without its
    suffix or with another one, below a folder that the table leaves out, or at a place on another machine. That counts
    only where one file fits.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._found: dict[str, tuple[str | None, str | None]] = {}
        self._index: dict[str, list[Path]] | None = None
        self._alike: Counter[str] = Counter()

    @property
    def notes(self) -> tuple[str, ...]:
        """How often a file was found under another name than the table's."""
        return tuple(f"{count} audio files {how}" for how, count in self._alike.items())

    def find(self, path: str, expected: Iterable[str] = ()) -> tuple[str | None, str | None]:
        """Where the audio of a row lies.

        Args:
            path: as the manifest gives it, relative to the root or absolute inside it; may be empty.
            expected: file names without suffix that may belong to the row when it gives no path.

        Returns:
            (path relative to the root, None), or (the path or None, the problem).
        """
        if not path:
            return self._find_by_name(list(expected))
        if path not in self._found:
            found = self._find_by_path(path)
            self._found[path] = self._find_alike(path, found) if found[1] else found
        return self._found[path]

    def _find_by_path(self, path: str) -> tuple[str | None, str | None]:
        try:
            # Resolving follows every link, so a link out of the folder is seen before anything is opened.
            target = (self.root / path).resolve()
            if "\\" in path and not target.exists():
                target = (self.root / path.replace("\\", "/")).resolve()
            if not target.is_relative_to(self.root):
                return None, "path leaves the corpus folder"
            inside = target.relative_to(self.root).as_posix()
            if not target.exists():
                return inside, f"no audio at {inside}"
            if not target.is_file():
                return inside, f"not a regular file: {inside}"
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long, a folder we may not enter
            return None, "path cannot be followed"
        return inside, None

    def _find_alike(self, path: str, failed: tuple[str | None, str | None]) -> tuple[str | None, str | None]:
        """The only file that is called like it; else what is wrong with the path itself."""
        written = PurePosixPath(re.sub(r"^[A-Za-z]:(?=[\\/])", "", path).replace("\\", "/"))
        problem = str(failed[1])
        if not problem.startswith("no audio") and not (problem.startswith("path leaves") and self._is_gone(written)):
            return failed
        name, inside = written.name, failed[0] or ""
        same_name = self._nearest(self._files_called(name), written)
        for files, how in (
            ([file for file in same_name if folded(self._shown(file)) == folded(inside)], "differ in case or letters"),
            (same_name, "lie in another folder than the table says"),
            (self._best_kind(self._files_called(name, any_suffix=True)), "have another suffix than in the table"),
        ):
            if len(files) == 1:
                self._alike[how] += 1
                return self._find_by_path(str(files[0]))
            if files:
                shown = " and ".join(self._shown(file) for file in files[:3])
                return failed[0], f"no audio at {inside or name}: {len(files)} files are called like it ({shown})"
        return failed

    def _nearest(self, files: list[Path], written: PurePosixPath) -> list[Path]:
        """Those that have the most of the written folders above them."""

        def agreeing(file: Path) -> int:
            pairs = zip(reversed(file.relative_to(self.root).parts), reversed(written.parts), strict=False)
            return sum(takewhile(bool, (folded(one) == folded(other) for one, other in pairs)))

        most = max(map(agreeing, files), default=0)
        return [file for file in files if agreeing(file) == most]

    def _is_gone(self, path: PurePosixPath) -> bool:
        """An absolute path that is not there: of another machine, so that its last part may be meant."""
        try:
            return path.is_absolute() and not Path(path).exists()
        except (OSError, ValueError):
            return False

    def _shown(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def _find_by_name(self, expected: list[str]) -> tuple[str | None, str | None]:
        for name in expected:
            matches = self._files_called(name, any_suffix=True)
            exact = [match for match in matches if match.stem == name]
            matches = exact or matches
            if len({match.parent for match in matches}) > 1:
                return None, f"{len(matches)} files are called {name}; give the path in a column `audio`"
            if matches:
                return self._find_by_path(str(self._best_kind(matches)[0]))
        # Where there is no sound at all nothing was lost: a corpus of words alone.
        return None, f"no audio at {expected[0]}.*" if expected and self._has_sound else "no audio"

    @cached_property
    def _has_sound(self) -> bool:
        return any(file.suffix.lower() in AUDIO_SUFFIXES for files in (self._index or {}).values() for file in files)

    def _files_called(self, name: str, any_suffix: bool = False) -> list[Path]:
        """All files of a name, in any folder; with `any_suffix` those of sound whose stem it is or has."""
        if self._index is None:
            self._index = self._list_files()
        if not any_suffix:
            return [file for file in self._index.get(folded(name), []) if folded(file.name) == folded(name)]
        stem, suffix = os.path.splitext(name)  # noqa: PTH122  # a name without a folder
        stems = {folded(name)} | ({folded(stem)} if suffix.lower() in AUDIO_SUFFIXES else set())
        files = [file for key in sorted(stems) for file in self._index.get(key, [])]
        return [file for file in files if file.suffix.lower() in AUDIO_SUFFIXES and folded(file.stem) in stems]

    def _best_kind(self, files: list[Path]) -> list[Path]:
        """The preferred of several kinds of one clip in one folder."""
        if len({(file.parent, file.stem) for file in files}) != 1:
            return files
        return [min(files, key=lambda file: AUDIO_SUFFIXES.index(file.suffix.lower()))]

    def _list_files(self) -> dict[str, list[Path]]:
        """Folded name, and folded stem -> files."""
        index: dict[str, list[Path]] = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    path = Path(folder, name)
                    for key in {folded(name), folded(path.stem)}:
                        index.setdefault(key, []).append(path)
        return index
