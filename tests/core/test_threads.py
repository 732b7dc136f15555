"""Threads change neither the order of the results nor which error is met first."""

from __future__ import annotations

import threading

import pytest

from pgolf.core.threads import threaded


def test_results_come_in_the_order_of_the_items_whatever_ends_first(monkeypatch):
    monkeypatch.setattr("pgolf.core.threads.cores", lambda: 2)
    later = threading.Event()

    def run(item: int) -> int:
        if item == 0:
            assert later.wait(10), "the items were not run beside each other"
        later.set()
        return item * item

    assert threaded(run, [0, 1]) == [0, 1]


def test_the_first_error_in_the_order_of_the_items_is_raised():
    def run(item: int) -> int:
        if item:
            raise ValueError(str(item))
        return item

    with pytest.raises(ValueError, match=r"^3$"):
        threaded(run, [0, 3, 5, 0])


@pytest.mark.parametrize("items", [[], [7]])
def test_nothing_or_one_thing_needs_no_thread(items):
    own = threading.get_ident()
    assert threaded(lambda item: (item, threading.get_ident()), items) == [(item, own) for item in items]
