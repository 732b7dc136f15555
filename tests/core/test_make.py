import pytest

from pgolf.core import make as making
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.hook.validate import Validate


def test_make_builds_what_the_node_names_with_runtime_objects_by_keyword():
    node = {"_target_": "pgolf.hook.validate.Validate", "times": 3}
    made = make(node, dev_tokens=64)
    assert isinstance(made, Validate) and (made.times, made.dev_tokens) == (3, 64)


def test_children_are_passed_on_unbuilt(monkeypatch):
    monkeypatch.setattr(making, "_options", None)  # a class of no option
    node = {"_target_": "pgolf.core.process.Process", "rank": {"_target_": "x"}, "world": 1}
    assert make(node).rank == {"_target_": "x"}


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "pgolfish.x.Y", "pgolf", "pgolf.quant.rtn.RTNN", 3])
def test_only_existing_pgolf_targets_are_built(target):
    with pytest.raises(ConfigError):
        make({"_target_": target})
