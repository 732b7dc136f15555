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


@pytest.mark.parametrize(("most", "passes"), [((11, 4), True), ((10, 4), False), ((11, 3), False)])
def test_a_message_larger_than_it_may_be_is_refused_before_it_is_read(most, passes):
    pipe = io.BytesIO()
    send(pipe, {"row": 77}, b"0123")
    pipe.seek(0)
    if passes:
        assert receive(pipe, most) == ({"row": 77}, b"0123")
    else:
        with pytest.raises(ValueError, match=r"a message of \(11, 4\) bytes"):
            receive(pipe, most)
        assert pipe.tell() == 8
