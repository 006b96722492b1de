"""RTTM beside words: who speaks when, as diarisation programs write it, for transcripts that name nobody.

The form: appendix A of https://web.archive.org/web/20100606092041/http://www.itl.nist.gov/iad/mig/tests/rt/2009/docs/rt09-meeting-eval-plan-v2.pdf
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text.manifest import Manifest
from hbaf.corpus.text.manifest_values import number
from hbaf.corpus.text.toolkits.described import count, lines_of
from hbaf.parameters import LimitParameters

SUFFIX = ".rttm"
_Spans = list[tuple[float, float, str]]  # start, end in seconds, speaker


def name_speakers(manifest: Manifest, files: Iterable[Path], root: Path, limits: LimitParameters) -> None:
    """Gives the turns of recordings in which nobody is named the speaker who speaks longest in them.

    Which recording a line is about says its second field; where a file has one field alone, the file's own name does.

    Args:
        files: of the corpus, inside `root`; RTTM counts.
    """
    spans = _spans((path for path in files if path.suffix.lower() == SUFFIX), root, manifest, limits)
    if not spans:
        return
    named = {row.values.get("audio") for row in manifest.rows if row.values.get("speaker")}
    given: Counter[str] = Counter()
    several = 0
    for at, row in enumerate(manifest.rows):
        audio = row.values.get("audio")
        recording = PurePosixPath(audio).stem if audio else str(row.values.get("dialogue"))
        if audio in named or recording not in spans:
            continue
        shares = _shares(spans[recording], number(row.values.get("start") or ""), number(row.values.get("end") or ""))
        if shares:
            manifest.rows[at] = replace(row, values={**row.values, "speaker": shares.most_common(1)[0][0]})
            given[recording] += 1
            several += len(shares) > 1
    if given:
        more = f"; {count(several, 'turn')} with several has the one who speaks longest" if several else ""
        manifest.notes.append(
            f"speakers of {count(given.total(), 'turn')} in {count(len(given), 'recording')} are those of RTTM{more}"
        )


def _shares(spans: _Spans, start: float | None, end: float | None) -> Counter[str]:
    """Speaker -> seconds inside the turn; of a turn without an end, who speaks when it begins."""
    shares: Counter[str] = Counter()
    if start is None:
        return shares
    for begin, stop, speaker in spans:
        inside = (min(stop, end) - max(begin, start)) if end is not None else float(begin <= start < stop)
        if inside > 0:
            shares[speaker] += inside  # type: ignore[assignment]  # a Counter counts seconds as well
    return shares


def _spans(files: Iterable[Path], root: Path, manifest: Manifest, limits: LimitParameters) -> dict[str, _Spans]:
    spans: dict[str, _Spans] = {}
    for path in files:
        of_file: dict[str, _Spans] = {}
        try:
            for where, line in lines_of(path, root, limits):
                fields = line.split()
                if fields[0] != "SPEAKER":
                    continue
                start, duration = (number(value) for value in (*fields[3:5], "", "")[:2])
                if len(fields) < 8 or start is None or duration is None:
                    manifest.notes.append(f"{where}: not read (a line is `SPEAKER FILE 1 START SECONDS <NA> <NA> WHO`)")
                    continue
                of_file.setdefault(fields[1], []).append((start, start + duration, fields[7]))
        except CorpusError as error:
            manifest.notes.append(f"{path.name}: not read ({error})")
            continue
        if len(of_file) == 1:
            of_file = {path.stem: next(iter(of_file.values())), **of_file}
        spans |= of_file
    return spans
