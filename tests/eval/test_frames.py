import io

import pytest

from pgolf.eval.frames import receive, send


def test_messages_arrive_in_order_with_their_numbers():
    pipe = io.BytesIO()
    send(pipe, {"ask": [0, 1, 2]})
    send(pipe, {"row": 7}, b"\x00\x01")
    pipe.seek(0)
    assert receive(pipe) == ({"ask": [0, 1, 2]}, b"")
    assert receive(pipe) == ({"row": 7}, b"\x00\x01")
    with pytest.raises(EOFError):
        receive(pipe)


def test_a_message_that_breaks_off_anywhere_is_the_end():
    pipe = io.BytesIO()
    send(pipe, {"row": 7}, b"0123")
    whole = pipe.getvalue()
    for size in range(len(whole)):
        with pytest.raises(EOFError):
            receive(io.BytesIO(whole[:size]))
