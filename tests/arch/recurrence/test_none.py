from tests.arch.recurrence.checks import form


def test_every_layer_is_visited_once_in_order():
    (plain,) = form("arch/recurrence=none", layers=9).routes()
    assert [v.physical for v in plain.visits] == list(range(9))
    assert [v.half for v in plain.visits] == ["encoder"] * 4 + ["decoder"] * 5
    assert plain.skips == 4
