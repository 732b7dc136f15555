import ast

import pytest

from pgolf.bundle import shake
from pgolf.bundle import sources as code
from pgolf.bundle.shake import shaken
from pgolf.core.errors import ConfigError

FILES = {
    "pgolf": "",
    "pgolf.a": """
import json
import torch
from torch import nn
from pgolf import b
from pgolf.b import used, unused, Base
LIMIT = used()
SPARE = unused()
class Net(nn.Module):
    def forward(self, x):
        return self.called(x)
    def called(self, x):
        return x
    def never(self, x):
        return json.dumps(x)
    def by_string(self, x):
        return x
class Child(Base):
    def __len__(self):
        return 0
    def hook(self):
        return b.through_module()
def main():
    from pgolf.c import late
    return Net(), getattr(Net, "by_string"), Child(), late
""",
    "pgolf.b": """
REGISTRY = {}
def used():
    return 1
def unused():
    return 2
def through_module():
    return 3
def register(f):
    REGISTRY[f.__name__] = f
    return f
@register
def registered():
    return used()
class Base:
    def hook(self):
        return None
    def run(self):
        return self.hook()
""",
    "pgolf.c": "def late():\n    return LATER\nLATER = 1\nprint('acts')\n",
    "pgolf.d": "def nobody():\n    return 0\n",
}


@pytest.fixture
def package(monkeypatch):
    """A small package in place of this one."""

    def located(name):
        if name not in FILES:
            raise ConfigError(f"no {name}")
        return code.ModuleSource(name, FILES[name], name == "pgolf")

    monkeypatch.setattr(shake, "source_of", located)
    monkeypatch.setattr(shake, "is_module", lambda name: name in FILES)
    monkeypatch.setattr(shake, "is_bundled", lambda name: name != "pgolf.d")


def names(tree):
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def test_what_nothing_names_is_left_out_and_the_rest_is_there(package):
    found = shaken([("pgolf.a", "main")])
    assert set(found) == {"pgolf.a", "pgolf.b", "pgolf.c"}
    text = ast.unparse(found["pgolf.a"])
    assert "SPARE" not in text and "unused" not in text and "json" not in text and "LIMIT" not in text
    assert "nobody" not in str(found)
    assert "late" in names(found["pgolf.c"]) and "LATER = 1" in ast.unparse(found["pgolf.c"])


def test_methods_are_kept_when_named_called_by_a_base_outside_or_special(package):
    kept = names(shaken([("pgolf.a", "main")])["pgolf.a"])
    assert {"forward", "called", "by_string", "__len__"} <= kept
    assert "never" not in kept
    assert "hook" not in kept  # Base.run, which calls it, is never named
    assert "hook" in names(shaken([("pgolf.a", "main")], words=["run"])["pgolf.a"])


def test_a_module_used_by_its_name_gives_what_is_asked_of_it(package):
    assert "through_module" not in names(shaken([("pgolf.a", "main")])["pgolf.b"])
    assert "through_module" in names(shaken([("pgolf.a", "main")], words=["hook"])["pgolf.b"])


def test_what_acts_on_import_is_kept(package):
    found = shaken([("pgolf.a", "main")])
    assert {"registered", "register", "used"} <= names(found["pgolf.b"])
    assert "print('acts')" in ast.unparse(found["pgolf.c"])


def test_modules_that_are_looked_up_by_name_are_kept_for_what_they_do(package):
    assert set(shaken([])) == set()
    assert "print('acts')" in ast.unparse(shaken([], modules=["pgolf.c"])["pgolf.c"])
    with pytest.raises(ConfigError, match=r"pgolf\.nowhere"):
        shaken([], modules=["pgolf.nowhere"])


def test_entries_that_are_not_there_and_modules_that_are_not_bundled_are_refused(package):
    with pytest.raises(ConfigError, match=r"pgolf\.a has no 'nothing'"):
        shaken([("pgolf.a", "nothing")])
    with pytest.raises(ConfigError, match=r"pgolf\.d"):
        shaken([("pgolf.d", "nobody")])
