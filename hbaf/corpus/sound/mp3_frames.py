"""The frames of an MP3, walked one by one: how long it is, and where one file was joined to another.

No header of an MP3 can be trusted with its length: Xing's counts the first of several joined files, and where there is
none decoders guess from the bit rate of the first frames. Layout after ISO 11172-3 and 13818-3.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

# kbit/s by layer in MPEG 1, and in 2 and 2.5; index 0 is "free", 15 is forbidden.
_RATES_V1 = {
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_V2 = {1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256), 2: _LOW, 3: _LOW}
_SAMPLE_RATES = (44_100, 48_000, 32_000)
_SEARCHED = 1 << 16  # bytes looked at for the next frame after something that is none


@dataclass
class Mp3Part:
    """One of the files that were joined; most MP3s are one.

    Attributes:
        begin: its first byte, that of its tag if it has one.
        frames: those that hold sound.
        samples: of one channel in them.
        rate: Hz.
        promised: frames that a Xing, Info or VBRI header announces; None without one.
    """

    begin: int
    frames: int = 0
    samples: int = 0
    rate: int = 0
    promised: int | None = None

    @property
    def margin(self) -> int:
        """Samples that encoders add at both ends and decoders take away again."""
        return 4 * self.samples // max(1, self.frames) + 1200


@dataclass
class Mp3Walk:
    """What was found on the way.

    Attributes:
        parts: at least one if there are frames.
        strange: bytes that are neither frames nor tags.
    """

    parts: list[Mp3Part] = field(default_factory=list)
    strange: int = 0


def walk(data: bytes) -> Mp3Walk:
    """Walks over all frames; decodes nothing.

    Args:
        data: a whole file, or a map of it.
    """
    found, position = Mp3Walk(), 0
    begin: int | None = 0  # of the next part, once its first frame comes
    while position < len(data):
        tag = _tag_length(data, position)
        if tag:
            begin = position if data[position : position + 3] == b"ID3" else begin
            position += tag
            continue
        frame = _frame(data, position)
        if frame is None:
            following = next(_frames_from(data, position + 1), None)
            found.strange += (following or len(data)) - position
            position = following or len(data)
            continue
        length, samples, rate, version = frame
        is_header, promised = _length_header(data[position : position + min(length, 200)], version)
        if is_header or begin is not None:
            found.parts.append(Mp3Part(position if begin is None else begin, rate=rate, promised=promised))
            begin = None
        if not is_header:
            found.parts[-1].frames += 1
            found.parts[-1].samples += samples
        position += length
    return found


def _frames_from(data: bytes, position: int) -> Iterator[int]:
    """Where the next frame that another one follows begins, within reach."""
    for at in range(position, min(len(data), position + _SEARCHED)):
        if data[at] == 0xFF or data[at : at + 3] == b"ID3":
            frame = _frame(data, at)
            followed = frame and (at + frame[0] >= len(data) or _frame(data, at + frame[0]))
            if followed or _tag_length(data, at):
                yield at


def _tag_length(data: bytes, at: int) -> int:
    """Bytes of an ID3 or APE tag that begins here; 0 for none."""
    head = data[at : at + 16]
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:3] == b"TAG" and len(data) - at >= 128:
        return 128
    if head[:8] == b"APETAGEX" and len(head) == 16:
        # The size counts the items and the footer; where this is the footer, the items were passed already.
        return 32 + max(0, int.from_bytes(head[12:16], "little") - 32)
    return 0


def _frame(data: bytes, at: int) -> tuple[int, int, int, int] | None:
    """(bytes, samples, Hz, MPEG version) of the frame that begins here, None if there is none."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = {0: 3, 2: 2, 3: 1}.get(head[1] >> 3 & 3, 0), 4 - (head[1] >> 1 & 3)
    index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 0 or layer == 4 or index in (0, 15) or rate_index == 3:
        return None
    kbits = (_RATES_V1 if version == 1 else _RATES_V2)[layer][index]
    rate = _SAMPLE_RATES[rate_index] >> (version - 1)
    if layer == 1:
        return (12_000 * kbits // rate + padding) * 4, 384, rate, version
    samples = 576 if layer == 3 and version != 1 else 1152
    return samples // 8 * 1000 * kbits // rate + padding, samples, rate, version


def _length_header(frame: bytes, version: int) -> tuple[bool, int | None]:
    """Whether a frame holds the length of the file in place of sound, and how many frames it announces."""
    mono = frame[3] >> 6 == 3
    at = 4 + ((17 if mono else 32) if version == 1 else (9 if mono else 17))
    for place in (at, at + 2):  # behind a checksum too
        if frame[place : place + 4] in (b"Xing", b"Info"):
            counted = frame[place + 7 : place + 8] and frame[place + 7] & 1
            return True, int.from_bytes(frame[place + 8 : place + 12], "big") if counted else None
    if frame[36:40] == b"VBRI":
        return True, int.from_bytes(frame[50:54], "big")
    return False, None
