"""The table counts every parameter once and forecasts what the artifact will weigh."""

import pytest

from pgolf.arch.table import model_table
from pgolf.artifact.forecast import forecast
from tests.helpers import tiny_model, tiny_settings


def table_of(model, *words):
    return model_table(model, forecast(tiny_settings(*words), model, 40_000, None).bytes_by_name)


def test_rows_sum_to_the_total_and_components_are_named():
    model = tiny_model()
    table = table_of(model)
    assert table.rows[-1][0] == "total"
    assert sum(row[1] for row in table.rows[:-1]) == table.parameters == sum(p.numel() for p in model.parameters())
    assert {row[0] for row in table.rows} >= {"embedding", "attention", "mlp", "control", "skip"}


def test_the_visits_of_every_route_are_shown():
    assert "visits plain: 0 1 2 | 3 4 5" in table_of(tiny_model()).notes


def test_fewer_bits_are_forecast_to_weigh_less():
    five, six = (table_of(tiny_model(), "quant=rtn", f"quant.bits={b}").rows[-1][4] for b in (5, 6))
    assert five < six
    matrix_weights = sum(
        p.numel() for n, p in tiny_model().named_parameters() if tiny_model().param_specs()[n].storage == "matrix"
    )
    assert six - five == pytest.approx(matrix_weights * 1.05 / 8, rel=0.05)


def test_a_correction_has_a_row_of_its_own():
    table = table_of(tiny_model(), "quant=gptq", "quant/correction=lqer")
    ((name, parameters, _, storage, size),) = [row for row in table.rows if row[3] == "correction"]
    assert (name, parameters, storage) == ("lqer", 0, "correction")
    assert 0 < size < table.rows[-1][4] == sum(row[4] for row in table.rows[:-1])
