"""JSON lines of NVIDIA NeMo and of EmoBox: tables like any other, but for a few columns that mean something else.

NeMo: https://docs.nvidia.com/nemo-framework/user-guide/latest/nemotoolkit/asr/datasets.html; its manifests end in
`.json`. EmoBox: https://github.com/emo-box/EmoBox.
"""

from pathlib import Path

from hbaf.corpus.text.manifest import Manifest, Row

_NEMO = b'"audio_filepath"'
_TO_FILL = "infer"  # the label of a manifest whose speakers are still to be found


def is_nemo(path: Path) -> bool:
    """Whether a file that ends in `.json` is a manifest of JSON lines."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        line = file.readline(100_000).strip()
    return line.startswith(b"{") and line.endswith(b"}") and _NEMO in line


def as_meant(manifest: Manifest) -> Manifest:
    """A table of JSON lines with the columns that it means."""
    found = set(manifest.found)
    if {"key", "wav", "emo"} <= found:
        manifest.notes.append("an EmoBox manifest: `channel` counts the channels of a file and is not read")
        return _renamed(manifest, {"key": "source_id", "emo": "emotion", "channel": "channels"})
    if {"audio_filepath", "duration"} <= found:
        if "text" not in found and "pred_text" in found:
            manifest.notes.append("a NeMo manifest: `pred_text`, which a recogniser wrote, is the text")
            manifest = _renamed(manifest, {"pred_text": "text"})
        if "label" in found and all(row.values.get("label") in (None, _TO_FILL) for row in manifest.rows):
            manifest = _renamed(manifest, {"label": "task"})
    return manifest


def _renamed(manifest: Manifest, names: dict[str, str]) -> Manifest:
    manifest.found = [names.get(name, name) for name in manifest.found]
    manifest.rows = [
        Row(row.where, {names.get(name, name): value for name, value in row.values.items()}, row.audio_problem)
        for row in manifest.rows
    ]
    return manifest
