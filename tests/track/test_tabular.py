from rich.text import Text

from pgolf.track.tabular import wrapped


def test_a_long_method_is_broken_behind_a_plus_and_loses_nothing():
    method = "streaming+packed+neighbours+tree 512/32"
    lines = [line.plain for line in wrapped([Text("final")], [method], 38)]
    parts = [line.removeprefix("final").strip() for line in lines]
    assert parts == ["streaming+packed+neighbours+", "tree 512/32"]


def test_numbers_with_a_sign_and_words_with_hyphens_stay_whole():
    text = "12 +05 and " + "prefix-only " * 6
    words = [word for line in wrapped([Text("x")], [text], 34) for word in line.plain.removeprefix("x").split()]
    assert words == text.split()
