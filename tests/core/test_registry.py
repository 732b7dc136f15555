import sys
from types import ModuleType

import pytest

from pgolf.core.registry import module_named, modules_of, stems


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A package of this process with three modules, the last of them shared code."""
    for stem in ("second", "first", "shared"):
        (tmp_path / f"{stem}.py").write_text(f"NAME = {stem!r}\n")
    (tmp_path / "broken.txt").write_text("")
    made = ModuleType("registry_of_the_test")
    made.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    for stem in ("first", "second", "shared"):
        monkeypatch.setitem(sys.modules, f"{made.__name__}.{stem}", None)
        monkeypatch.delitem(sys.modules, f"{made.__name__}.{stem}")
    return made


def test_a_package_offers_its_modules_in_the_order_of_their_names(package):
    assert stems(package, leaves=("shared",)) == ["first", "second"]
    assert [module.NAME for module in modules_of(package, leaves=("shared",))] == ["first", "second"]


def test_a_module_is_found_by_its_name_and_imported(package):
    assert module_named(package, "second").NAME == "second"
    assert module_named(package, "third") is None


def test_leaves_and_odd_characters_are_not_looked_up(package):
    assert module_named(package, "shared", leaves=("shared",)) is None
    for name in (
        "",
        "First",
        "first.x",
        ".first",
        "../first",
        "first\n",
        "first\0",
        "fïrst",
        "1st",
        "_first",
    ):
        assert module_named(package, name) is None


def test_a_module_whose_own_import_fails_says_what_is_missing(package, tmp_path):
    (tmp_path / "first.py").write_text("import there_is_no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_package"):
        module_named(package, "first")
