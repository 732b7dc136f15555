import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.proof.escape import put_back, take_out

PIECES = st.one_of(st.binary(max_size=6), st.text(max_size=6).map(lambda text: text.encode("utf-8", "ignore")))


@given(st.lists(PIECES, max_size=8).map(b"".join))
def test_every_file_is_a_text_and_what_was_taken_out_of_it(data):
    text, taken = take_out(data)
    text.encode()  # has a UTF-8 form
    assert put_back(text, taken) == data
    assert all(piece for _, piece in taken)


@pytest.mark.parametrize("text", ["", "plain", "größer — \U0001f600", "\x00\r\n\u2581\ufffd"])
def test_of_a_text_nothing_is_taken_out(text):
    assert take_out(text.encode()) == (text, [])


def test_stretches_stand_where_they_lay():
    assert take_out(b"ab\xff\xfecd\x80") == ("abcd", [(2, b"\xff\xfe"), (6, b"\x80")])


@pytest.mark.parametrize("taken", [[(5, b"x")], [(1, b"x"), (0, b"y")]])
def test_places_that_the_text_does_not_have_are_refused(taken):
    with pytest.raises(DataError, match="taken out"):
        put_back("ab", taken)
