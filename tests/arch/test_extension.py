"""An addon is three files and no other edit: dropped into a copy of the tree, it passes what every option must."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pgolf

TREE = Path(pgolf.__file__).parent.parent

ALONE = """
\"\"\"A gate of heads by a learned constant, as an alternative to the others.\"\"\"

import torch
from torch import nn

from pgolf.arch.addon.gating import COMPONENT, Gating, HeadGate


class DummyGate(Gating):
    def __init__(self, *, start: float) -> None:
        self.start = start

    def part(self, dims):
        return Constant(dims.heads, self.start)


class Constant(HeadGate):
    def __init__(self, heads: int, start: float) -> None:
        super().__init__()
        self.declare_control("gamma", torch.full((heads,), start), COMPONENT)

    def gate(self, h_BTD):
        return self.gamma
"""

LOOKS_BACK = """
\"\"\"Adds a share of the stream two positions back; says nothing of being fed in pieces.\"\"\"

import torch
import torch.nn.functional as F

from pgolf.arch.addon.base import Addon
from pgolf.arch.base import Part


class DummyShift(Addon):
    sites = ("block_out",)
    most_lanes = 1
    why = "shifts one stream"

    def __init__(self, *, start: float) -> None:
        self.start = start

    def build(self, dims, site, visit, model):
        return Shift(self.start)


class Shift(Part):
    def __init__(self, start: float) -> None:
        super().__init__()
        self.declare_control("share", torch.full((), start))

    def forward(self, y_BTD, x_BTD, context):
        return y_BTD + self.share * F.pad(y_BTD[:, :-2], (0, 0, 2, 0))
"""

TEST = """
from tests.arch.addon.checks import assert_sound


def test_it_is_sound():
    assert_sound("arch/addon=[NAME]")
"""


@pytest.fixture
def tree(tmp_path):
    """A copy of the tree with two more addons, of three files each."""
    for name in ("pgolf", "conf", "tests"):
        shutil.copytree(TREE / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TREE / "pyproject.toml", tmp_path)
    for name, code in (("dummy_gate", ALONE), ("dummy_shift", LOOKS_BACK)):
        target = f"pgolf.arch.addon.{name}.{name.title().replace('_', '')}"
        (tmp_path / f"pgolf/arch/addon/{name}.py").write_text(code)
        (tmp_path / f"conf/arch/addon/{name}.yaml").write_text(
            f"# @package arch.addons.{name}\n_target_: {target}\nstart: 1.0\n"
        )
        (tmp_path / f"tests/arch/addon/test_{name}.py").write_text(TEST.replace("NAME", name))
    return tmp_path


@pytest.mark.slow  # tests/test_extension.py has an addon too, a plain one
def test_an_addon_is_three_files_and_no_other_edit(tree):
    suites = [
        "tests/arch/addon/test_dummy_gate.py",
        "tests/arch/addon/test_dummy_shift.py",
        "tests/arch/test_covering.py",
        "tests/config/test_groups.py",
        "tests/arch/step/test_feed.py",
        "tests/test_compose.py",
    ]
    chosen = "dummy or rows_contain or groups"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        "-vv",
        "-k",
        chosen,
        *suites,
    ]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    for passed in (
        "test_steps_equal_the_full_forward_pass_for_every_option[arch/addon=[dummy_gate]] PASSED",
        "test_steps_equal_the_full_forward_pass_for_every_option[arch/addon=[dummy_shift]] PASSED",
        "test_every_forbidden_pair_is_refused[dummy_gate=on-gate_linear=on] PASSED",
        "test_every_forbidden_pair_is_refused[arch/lanes=p4-dummy_shift=on] PASSED",
        "test_the_rows_contain_every_permitted_pair_and_no_other PASSED",
    ):
        assert passed in done.stdout, passed
