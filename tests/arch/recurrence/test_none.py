from pgolf.arch.recurrence.none import NoRecurrence


def test_every_layer_is_visited_once_in_order():
    (plain,) = NoRecurrence(layers=9, encoder_layers=None).schedules()
    assert [v.physical for v in plain.visits] == list(range(9))
    assert [v.half for v in plain.visits] == ["encoder"] * 4 + ["decoder"] * 5
    assert plain.skips == 4
