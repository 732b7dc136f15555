"""The model's table says of each addon who brought it."""

import os

from pgolf.config.compose import compose, settings
from pgolf.config.origins import addon_origins
from tests import warm


def origins(*words):
    return settings(compose(["size=tiny", *words]))["choices"]["arch/addon"]


def test_an_addon_of_the_preset_and_one_of_the_command_line():
    found = origins("arch=pr1855", "arch/addon=[canon]")
    assert found["canon"] == "the command line" and found["smear_gate"] == "arch=pr1855"


def test_the_baseline_has_none_and_one_of_the_command_line():
    assert origins() == {}
    assert origins("arch/addon=[xsa,canon]") == {"xsa": "the command line", "canon": "the command line"}


def test_an_addon_added_by_its_key_comes_from_the_command_line():
    words = ["+arch.addons.xsa._target_=pgolf.arch.addon.xsa.XSA", "+arch.addons.xsa.visits=all"]
    assert origins(*words) == {"xsa": "the command line"}


def test_a_setting_of_the_presets_addon_leaves_it_the_presets():
    assert origins("arch=pr1855", "arch.addons.smear_gate.variant=a")["smear_gate"] == "arch=pr1855"


def test_an_experiments_addons(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "ours.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /arch: pr1855\n  - override /arch/addon: [canon]\n"
        "  - /arch/addon/xsa\n  - _self_\n"
    )
    choices = {"experiment": "ours", "arch": "pr1855"}
    assert addon_origins(["canon", "xsa", "smear_gate"], ["seed=2"], choices, tmp_path) == {
        "canon": "experiment=ours",
        "xsa": "experiment=ours",
        "smear_gate": "arch=pr1855",
    }


def test_train_py_prints_them(tmp_path):
    words = ["arch=pr1855", "arch/addon=[canon]", "print_model=true", "size=tiny"]
    done = warm.run("train.py", *words, cwd=tmp_path, environment=os.environ)
    assert done.returncode == 0, done.stderr
    assert "addon canon, from the command line: at " in done.stdout
    assert "addon smear_gate, from arch=pr1855: at " in done.stdout
