"""Modules are found by their names, and only by names that could be one."""

import pytest

import pgolf.quant.schemes
from pgolf.core.registry import module_named, stems


def test_a_module_is_found_by_its_stem():
    found = module_named(pgolf.quant.schemes, "ternary")
    assert found is not None and found.__name__ == "pgolf.quant.schemes.ternary"
    assert {"grid", "fp", "ternary"} <= set(stems(pgolf.quant.schemes, ("base",)))


def test_a_leaf_is_no_option():
    assert module_named(pgolf.quant.schemes, "base") is not None
    assert module_named(pgolf.quant.schemes, "base", ("base",)) is None


@pytest.mark.parametrize(
    "name", ["nf4", "", "Grid", "grid.x", "../grid", "grid\n", "_x", ".grid", "é", "os;x"]
)
def test_anything_else_is_nothing(name):
    assert module_named(pgolf.quant.schemes, name) is None
