"""Text in older encodings is read by its letters, with a note; what is no text is refused."""

from pathlib import Path

import pytest

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text.encoding import Decoded, decode_text, is_garbled
from hbaf.corpus.text.manifest_values import clean

PATH = Path("call.srt")
SRT = "1\r\n00:00:00,400 --> 00:00:02,245\r\n{}\r\n\r\n2\r\n00:00:02,545 --> 00:00:03,757\r\n{}\r\n"
SAID = {
    "cp1251": ("Доброе утро, чем могу помочь?", "Я очень злюсь."),
    "koi8_r": ("Доброе утро, чем могу помочь?", "Я очень злюсь."),
    "cp866": ("Доброе утро, чем могу помочь?", "Я очень злюсь."),
    "cp1250": ("Dzień dobry, słucham.", "Mój telefon znów się zepsuł."),
    "iso8859_2": ("Wyślemy nowy. Świetnie, dziękuję.", "Mój telefon znów się zepsuł."),
    "cp1252": ("Guten Tag, schön Sie zu hören…", "Für Ihr Gerät – danke"),
    "mac_roman": ("Guten Tag, schön Sie zu hören…", "Für Ihr Gerät – danke"),
    "iso8859_15": ("C'est déjà l'été, où êtes-vous ?", "Ça coûte 5 €, j'espère."),
    "cp1253": ("Καλημέρα, πώς μπορώ να βοηθήσω;", "Το τηλέφωνό μου χάλασε πάλι."),
    "cp1254": ("Günaydın, nasıl yardımcı olabilirim?", "Çok kızgınım şimdi."),
    "cp1255": ("בוקר טוב, איך אפשר לעזור?", "הטלפון שלי שוב מקולקל."),
    "cp1256": ("صباح الخير، كيف يمكنني مساعدتك؟", "هاتفي معطل مرة أخرى."),
    "cp1257": ("Labas rytas, kaip galiu padėti?", "Mano telefonas vėl sugedo, aš labai pykstu."),
    "cp874": ("สวัสดีครับ มีอะไรให้ช่วยไหม", "โทรศัพท์เสียอีกแล้ว"),
    "gbk": ("早上好，有什么可以帮您？", "我的手机又坏了。"),
    "big5": ("早安，有什麼可以幫您？", "我的手機又壞了。"),
    "cp932": ("おはようございます、どうしましたか。", "電話が壊れました。"),
    "euc_jp": ("おはようございます、どうしましたか。", "電話が壊れました。"),
    "euc_kr": ("안녕하세요, 무엇을 도와드릴까요?", "전화기가 고장났어요."),
}
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", SAID)
def test_the_words_of_older_encodings(encoding: str) -> None:
    text = SRT.format(*SAID[encoding])
    decoded = decode_text(PATH, text.encode(encoding))
    assert decoded.text == text
    assert not decoded.damaged
    assert bool(decoded.note) == (encoding != "cp1252")


@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("words", ["cp1251", "gbk", "cp932", "cp1252"])
def test_unicode_with_and_without_a_mark(encoding: str, words: str) -> None:
    text = SRT.format(*SAID[words])
    assert decode_text(PATH, text.encode(encoding)) == Decoded(text)


@pytest.mark.parametrize(
    "text",
    [
        "¿Cómo está? Mañana le envío otro. ¡Qué bien!",
        "Não, está avariado. Obrigação, coração, ações",
        "God morgon, vad kan jag hjälpa dig med? Åh, tack så mycket.",
        "He said “hello” – it’s a café",
        "GRÜSSE AUS KÖLN",
    ],
)
def test_western_words_stay_windows_1252_without_a_word(text: str) -> None:
    assert decode_text(PATH, text.encode("cp1252")) == Decoded(text)


def test_single_damaged_bytes_are_left_to_be_found() -> None:
    decoded = decode_text(PATH, "Größe, Möbel, Tür, Öl, für, süß, schön".encode() + b"\xff")
    assert decoded.damaged
    assert "Größe" in decoded.text


@pytest.mark.parametrize(
    "content", [b"", b"\xef\xbb\xbf \n", b"\x89PNG\r\n\x1a\n\0\0\0\xff\xd8", bytes(range(128, 256)) * 9]
)
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(CorpusError, match=r"call\.srt: "):
        decode_text(PATH, content)


def test_two_encodings_that_fit_are_both_named() -> None:
    assert "it could be" in decode_text(PATH, "Тес".encode("cp1251")).note or decode_text(PATH, b"\xd2\xe5\xf1").note


@pytest.mark.parametrize(
    ("text", "garbled"),
    [
        ("Äîáðîå óòðî, ÷åì ìîãó ïîìî÷ü?", True),  # Windows-1251 read as Windows-1252
        ("Ð”Ð¾Ð±Ñ€Ð¾Ðµ ÑƒÑ‚Ñ€Ð¾", True),  # UTF-8 read so
        ("ÔçÉÏºÃ£¬ÓÐÊ²Ã´¿ÉÒÔ°ïÄú£¿", True),  # GBK read so
        ("?????? ????, ??? ???? ??????", True),
        ("\ufffd\ufffd\ufffd\ufffd \ufffd\ufffd", True),
        ("Доброе утро", False),
        ("Größe, Möbel, Tür, süß, schön", False),
        ("C'est déjà l'été à la plage, où êtes-vous ? Ça coûte", False),
        ("Não, está avariado. Obrigação, coração, ações", False),
        ("What?? Really???", False),
        ("Żółta łódź", False),
        ("", False),
    ],
)
def test_text_that_another_program_garbled(text: str, garbled: bool) -> None:
    assert is_garbled(text) == garbled


def test_a_field_loses_what_no_table_can_carry_and_nothing_else() -> None:
    """Every letter of the first planes that the quick way could take for a harmless one."""
    for code in (*range(0x3100), *range(0xD7F0, 0xE010)):
        control = code in (*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0))
        expected = "ab" if control else "a\ufffdb" if 0xD800 <= code < 0xE000 else f"a{chr(code)}b"
        assert clean(f" a{chr(code)}b ") == expected, hex(code)
