"""Which file a manifest row means, without ever leaving the corpus folder."""

import os
from collections.abc import Iterable
from pathlib import Path

# Order of preference where one clip lies there in several kinds.
AUDIO_SUFFIXES = (
    ".wav", ".flac", ".aiff", ".aif", ".au", ".caf", ".w64", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mp3", ".wma",
    ".amr", ".webm", ".mka", ".mp4", ".m4v", ".mov", ".mkv", ".avi", ".flv", ".3gp", ".mpg", ".mpeg", ".ts",
    ".rf64", ".aifc", ".snd", ".wv", ".tta", ".ape", ".spx", ".mp2", ".mpga", ".m4b", ".ac3", ".gsm", ".awb", ".3g2",
    ".wmv", ".asf", ".mts", ".m2ts", ".ogv", ".voc", ".sph",
)  # fmt: skip


class AudioFinder:
    """Finds the files of one corpus folder; opens none."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._found: dict[str, tuple[str | None, str | None]] = {}
        self._index: dict[str, list[Path]] | None = None

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
            self._found[path] = self._find_by_path(path)
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

    def _find_by_name(self, expected: list[str]) -> tuple[str | None, str | None]:
        if self._index is None:
            self._index = self._list_audio()
        for name in expected:
            matches = self._index.get(name, [])
            folders = {match.parent for match in matches}
            if len(folders) > 1:
                return None, f"{len(matches)} files are called {name}; give the path in a column `audio`"
            if matches:
                best = min(matches, key=lambda match: AUDIO_SUFFIXES.index(match.suffix.lower()))
                return self._find_by_path(str(best))
        return None, f"no audio at {expected[0]}.*" if expected else "no audio"

    def _list_audio(self) -> dict[str, list[Path]]:
        index: dict[str, list[Path]] = {}
        for folder, _, names in os.walk(self.root):
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                    index.setdefault(path.stem, []).append(path)
        return index
