"""Bytes of a text file -> text: UTF-8, UTF-16 and UTF-32, or else the older encoding whose letters fit best.

An older encoding has no mark, so it is recognised by what comes out: letters that a language uses, words of one script.
Statistical detectors need more text than a call has; this one weighs fewer encodings, and says when it is not sure.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from hbaf.corpus.schema import CorpusError

_LOOKED_AT = 1 << 16  # bytes that are not ASCII are weighed up to here; they tell the rest
_SURE = 0.5  # how plausible these letters must be on average, between -1 and 1
_WELL = 0.65  # the usual encoding needs no word where its letters are as plausible as this
_CLOSE = 0.06  # another encoding so near is named beside the one that was taken
_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъёіїєў"
_WESTERN = "äöüßéèêàçñáíóúìòùâîôûëïœæøåãõ"
_EASTERN = "ąćęłńóśźżáéíýčďěňřšťúůžäôľĺŕöőüűăâîșțşţđ"
# codec -> (name for people, letters that its languages use, the most frequent first)
_SINGLE = {
    "cp1252": ("Windows-1252", _WESTERN),
    "iso8859_15": ("ISO 8859-15", _WESTERN),
    "cp1250": ("Windows-1250", _EASTERN),
    "iso8859_2": ("ISO 8859-2", _EASTERN),
    "cp1251": ("Windows-1251", _CYRILLIC),
    "koi8_r": ("KOI8-R", _CYRILLIC),
    "cp866": ("CP 866", _CYRILLIC),
    "cp1253": ("Windows-1253", "αοιετσνηυρπκμλςάίόέήώύωδγχθφβξζψϊϋΐΰ"),
    "cp1254": ("Windows-1254", "ıışğçöüİâîû"),
    "cp1255": ("Windows-1255", "יוהלאתרמבשנעדקחפסגכזטצםןךףץ"),
    "cp1256": ("Windows-1256", "اليمنوتربةعدسفهكقحجشطصخذءأإآىئضثزظغؤپچژگی،؟"),
    "cp1257": ("Windows-1257", "āēīūčšžģķļņąęėįųõäöü"),
    "cp874": ("Windows-874", "".join(chr(letter) for letter in range(0x0E01, 0x0E5C))),
    "mac_roman": ("Mac Roman", _WESTERN),
    "cp850": ("CP 850", _WESTERN),
}
_DOUBLE = {"gb18030": "GBK", "cp932": "Shift-JIS", "cp949": "EUC-KR", "big5": "Big5", "euc_jp": "EUC-JP"}
_SIGNS = "“”‘’„‚«»‹›–—…€£°§¿¡·•№™®©´\u00a0×"  # what people type beside letters, in any of these encodings


_FEWEST_STRANGE = 4  # letters; fewer tell nothing
_FAR = ("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874", *_DOUBLE)  # scripts that are not Latin


@dataclass(frozen=True)
class Decoded:
    """A text, and how sure its letters are.

    Attributes:
        damaged: single bytes were not UTF-8 (they stay as surrogates, to be found by row).
        note: what to report where the encoding was recognised by its letters; empty for Unicode.
    """

    text: str
    damaged: bool = False
    note: str = ""


def decode_text(path: Path, content: bytes) -> Decoded:
    """The text of a file.

    Args:
        path: for the messages.

    Raises:
        CorpusError: empty, or no text in any encoding that is known here.
    """
    if is_blank(content):
        raise CorpusError(f"{path}: the file is empty. It needs the words, in UTF-8.")
    try:
        if (unicode := _utf_16_or_32(content)) is not None:
            return Decoded(content.decode(unicode).removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: its encoding is not recognised. Save it as UTF-8.") from error
    text = content.decode("utf-8-sig", "surrogateescape")
    broken = len(re.findall("[\udc80-\udcff]", text))
    if not broken:
        return Decoded(text)
    if sum(ord(letter) > 127 for letter in text) > 2 * broken:
        return Decoded(text, damaged=True)  # UTF-8 with a few damaged places
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", content):
        raise CorpusError(f"{path}: is not a text file. Save it as text (a table as CSV), in UTF-8.")
    ranked = _ranked(content)
    if not ranked or ranked[0][0] < _SURE:
        raise CorpusError(f"{path}: its encoding is not recognised. Save it as UTF-8.")
    score, codec, name = ranked[0]
    decoded = content.decode(codec)
    rivals = [other for near, rival, other in ranked[1:] if score - near < _CLOSE and content.decode(rival) != decoded]
    if codec == "cp1252" and (not rivals or score > _WELL):
        return Decoded(decoded)
    doubt = f" (it could be {' or '.join(rivals)})" if rivals else ""
    note = f"is not UTF-8 and was read as {name}, by its letters{doubt}; save it as UTF-8 if words look wrong"
    return Decoded(decoded, note=note)


def is_garbled(text: str) -> bool:
    """Whether a text lost its letters in an earlier program: signs in place of them, or letters of a wrong encoding."""
    if text.isascii() and "???" not in text:
        return False
    strange = [letter for letter in text if ord(letter) > 127 and letter not in _SIGNS]
    lost = sum(map(len, re.findall(r"\?{3,}", text)))
    if 5 * text.count("\ufffd") > len(text) or 2 * lost > len("".join(text.split())):
        return True
    if len(strange) < _FEWEST_STRANGE:
        return False
    for codec in ("cp1252", "latin-1"):
        try:
            content = text.encode(codec)
        except UnicodeEncodeError:
            continue
        try:
            return bool(content.decode("utf-8"))
        except UnicodeDecodeError:
            ranked = {found: score for score, found, _ in _ranked(content)}
            best = max((score for found, score in ranked.items() if found in _FAR), default=-1.0)
            return best > _SURE and best - ranked.get("cp1252", -1.0) > 0.15
    return False


def is_blank(content: bytes) -> bool:
    """Whether there is nothing but marks, blanks and zero bytes."""
    return not content.strip(b"\0\r\n\t \xef\xbb\xbf\xff\xfe")


def _utf_16_or_32(content: bytes) -> str | None:
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # Line ends, digits and blanks have one zero byte each, in whatever language the rest is.
    even, odd = content[0:4096:2].count(0), content[1:4096:2].count(0)
    if max(even, odd) > min(len(content), 4096) // 16 and 20 * min(even, odd) <= max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def _ranked(content: bytes) -> list[tuple[float, str, str]]:
    """(share of plausible letters, codec, name), the best first; only encodings that the whole content fits."""
    found = []
    lines = [line for line in content.splitlines() if not line.isascii()]
    sample = b"\n".join(lines)[:_LOOKED_AT].rpartition(b"\n")[0] if sum(map(len, lines)) > _LOOKED_AT else None
    sample = sample or b"\n".join(lines)
    for place, codec in enumerate((*_SINGLE, *_DOUBLE)):
        try:
            content.decode(codec)
            text = sample.decode(codec)
        except UnicodeDecodeError:
            continue
        name = _SINGLE[codec][0] if codec in _SINGLE else _DOUBLE[codec]
        score = _letters(text, _SINGLE[codec][1]) if codec in _SINGLE else _characters(text, codec)
        found.append((-score, place, codec, name))  # of equals the more usual one
    return [(-score, codec, name) for score, _, codec, name in sorted(found)]


def _letters(text: str, known: str) -> float:
    """How plausible the letters beyond ASCII are, on average: 1 at best."""
    weights = {letter: 1.0 - 0.3 * place / len(known) for place, letter in enumerate(known)}
    latin = ord(known[0]) < 0x250
    total, count = 0.0, 0
    for before, letter, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if ord(letter) < 128:
            continue
        count += 1
        if letter in _SIGNS:
            total += 0.6
            continue
        value = weights.get(letter, 0.9 * weights.get(letter.lower(), -1.0))
        neighbours = [one for one in (before, after) if one.isalpha()]
        if not latin and any(ord(one) < 128 for one in neighbours):
            value -= 1.5  # a word in two scripts
        if (letter.isupper() and before.islower()) or (letter.islower() and after.isupper()):
            value -= 1.0  # a capital inside a word
        if letter == "õ" and after != "e":
            value = 0.3  # Portuguese writes "õe"; elsewhere it is a Hungarian letter misread
        if letter.isupper() and after.islower() and before.isupper():
            value -= 0.5
        total += value
    return total / count if count else 0.0


def _characters(text: str, codec: str) -> float:
    """As `_letters`, for the encodings of Chinese, Japanese and Korean, where two bytes are a character."""
    total, count = 0.0, 0
    japanese = codec in ("cp932", "euc_jp")
    kana = any("\u3040" <= letter <= "\u30ff" for letter in text)
    for before, letter in zip(" " + text, text, strict=False):
        if ord(letter) < 128:
            continue
        count += 1
        if "\u3000" <= letter <= "\u3002" or letter in "！？，：；（）「」『』…—“”‘’、。":
            total += 0.8
        elif "\u3040" <= letter <= "\u30ff":
            total += 1.0 if japanese else -0.5
        elif "\uac00" <= letter <= "\ud7a3":
            total += 1.0 if codec == "cp949" and _is_common(letter, "euc_kr", 0xC8) else -0.5
        elif "\u4e00" <= letter <= "\u9fff" and codec != "cp949":
            common = {"gb18030": ("gb2312", 0xD7), "big5": ("big5", 0xC6)}.get(codec, ("shift_jis", 0x98))
            usual = _is_common(letter, *common)
            total += (0.9 if usual else -0.3) if not japanese or kana else 0.0
        else:
            total += -1.0
        if ord(before) < 128 and before.isalpha():
            total -= 0.7  # a word of these scripts seldom begins inside a Latin one
    return total / count if count else 0.0


def _is_common(letter: str, codec: str, last: int) -> bool:
    """Whether it stands in the first plane of a standard, where the frequent characters are."""
    try:
        content = letter.encode(codec)  # Python's EUC-KR spells rare syllables out in eight bytes
        return len(content) == 2 and content[0] <= last
    except UnicodeEncodeError:
        return False
