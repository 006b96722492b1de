"""What text looks like that once was Windows-1252 and was read as something else, and how to put it right."""

import re

# The second and third byte of a UTF-8 character, as letters of Windows-1252 or Latin-1; behind these three letters no
# English word goes on like that. The rest of the Latin alphabet is left alone.
_FOLLOWING = bytes(range(0x80, 0xC0)).decode("latin-1") + bytes(range(0x80, 0xC0)).decode("cp1252", "ignore")
DOUBLE_ENCODED = re.compile(f"[ÂÃ][{re.escape(_FOLLOWING)}]|â[\x80€][{re.escape(_FOLLOWING)}]")


def repair_windows_1252(text: str) -> str:
    r"""Puts right what is left of a Windows-1252 text read as something else; everything else stays as it is.

    Three kinds: UTF-8 that was read as Windows-1252 or Latin-1 ("doesnâ€™t"), Windows-1252 that was read as Latin-1
    ("doesn\x92t"), and single bytes that are not UTF-8 (lone surrogates, as `surrogateescape` leaves them).
    """
    if text.isascii():
        return text
    text = re.sub("[\udc80-\udcff]", lambda found: _windows_1252(ord(found[0]) - 0xDC00), text)
    text = DOUBLE_ENCODED.sub(_undo_double_encoding, text)
    return re.sub("[\x80-\x9f]", lambda found: _windows_1252(ord(found[0])), text)


def _windows_1252(byte: int) -> str:
    return bytes([byte]).decode("cp1252", "ignore")


def _undo_double_encoding(found: re.Match[str]) -> str:
    try:
        content = b"".join(
            bytes([ord(letter)]) if ord(letter) < 0x100 else letter.encode("cp1252") for letter in found[0]
        )
        return content.decode("utf-8")
    except UnicodeError:
        return found[0]
