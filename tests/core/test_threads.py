"""Threads change neither the order of the results nor which error is met first."""

from __future__ import annotations

import threading

import pytest

from pgolf.core.threads import Behind, CoreShare, threaded


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


def test_a_share_is_of_the_counted_time_alone_over_all_threads(monkeypatch):
    now = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr("pgolf.core.threads.time.perf_counter", lambda: now["wall"])
    monkeypatch.setattr("pgolf.core.threads.time.thread_time", lambda: now["cpu"])
    work = CoreShare()
    assert work.share is None
    for wall, cpu in ((2.0, 1.5), (1.0, 1.0), (1.0, 0.5)):
        with work.counting():
            now["wall"], now["cpu"] = now["wall"] + wall, now["cpu"] + cpu
        now["wall"] += 100.0  # waiting, outside
    assert work.share == 3.0 / 4.0


@pytest.mark.parametrize("beside", [False, True])
def test_what_follows_behind_is_done_in_order_and_its_error_ends_it(beside):
    done = []

    def fail():
        raise ValueError("the second")

    with pytest.raises(ValueError, match="the second"), Behind(beside) as behind:
        behind.put(lambda: done.append(1))
        behind.put(fail)
        behind.put(lambda: done.append(3))
    assert done == [1]


def test_one_piece_at_a_time_runs_beside_what_hands_it_over():
    here, began, goes_on = threading.get_ident(), threading.Event(), threading.Event()
    where = []

    def piece():
        where.append(threading.get_ident())
        began.set()
        assert goes_on.wait(10)

    with Behind(beside=True) as behind:
        behind.put(piece)
        assert began.wait(10)  # and this goes on meanwhile
        goes_on.set()
        behind.put(lambda: where.append(0))
        behind.done()
    assert where[0] != here and where[1:] == [0]
