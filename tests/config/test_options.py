"""What a file from elsewhere may have built here: the options of conf/, and nothing else of pgolf."""

import subprocess
import sys

import pytest

from pgolf.config.groups import technique_groups
from pgolf.config.options import conf_dir, option_targets
from pgolf.core import make as making
from pgolf.core.errors import ConfigError
from pgolf.core.make import make, target_of
from tests.helpers import tiny_settings

# Our own, and able to run a program, or to write where it is told.
GADGETS = ["pgolf.eval.sealed_child._run", "pgolf.core.atomic.write_text_atomic", "pgolf.eval.zygote.os.system"]


def targets(node):
    found = {node["_target_"]} if "_target_" in node else set()
    return found.union(*(targets(inner) for inner in node.values() if isinstance(inner, dict)))


@pytest.mark.parametrize("gadget", GADGETS)
def test_what_is_no_option_is_not_built_though_it_is_ours(gadget):
    with pytest.raises(ConfigError, match="is no option: no file of conf/ names it"):
        make({"_target_": gadget})


def test_every_target_of_a_composed_config_is_an_option():
    assert targets(tiny_settings()) <= option_targets(conf_dir())


def test_every_option_lies_in_the_package_of_a_group():
    packages = {group.package for group in technique_groups()}
    assert {target.rpartition(".")[0].rpartition(".")[0] for target in option_targets(conf_dir())} <= packages


def test_a_bundled_script_that_has_no_conf_builds_what_its_own_config_names(monkeypatch):
    monkeypatch.setattr(making, "_options", None)
    assert target_of({"_target_": "pgolf.core.atomic.write_text_atomic"}).__name__ == "write_text_atomic"


@pytest.mark.parametrize(
    "program",
    [
        "import sys, pgolf.config.launch as road; sys.argv = ['train.py']; road.launch(lambda: None, [])",
        "import eval; eval.main(['artifact=nowhere.pgolf'])",
        "from pgolf.cli.main import main; main(['verify', 'nowhere'])",
    ],
    ids=["train.py", "eval.py", "pgolf"],
)
def test_whoever_trains_or_judges_builds_options_alone(program):
    code = f"{program}; from pgolf.core import make; print(len(make._options))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=conf_dir().parent)
    assert int(found.stdout.split()[-1]) == len(option_targets(conf_dir())), found.stderr
