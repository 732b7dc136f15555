"""The floor plan: what may import what, Hydra in the config package alone, nothing heavy before it is needed."""

import ast
import dataclasses
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import pgolf

PACKAGE = Path(pgolf.__file__).parent
HYDRA_HOMES = ("config",)

# Roof to ground: a module imports from its own package and from packages below it, never upward.
FLOORS = (
    *("__main__", "cli", "bench"),
    *("run", "report", "bundle", "build"),
    *("proof", "eval", "artifact"),
    *(
        "qat",
        "warm_start",
        "curriculum",
        "distillation",
        "auxiliary",
        "averaging",
        "hook",
        "optimizer",
        "schedule",
        "loader",
        "quant",
        "train",
    ),
    *("data", "logger", "arch", "tokenizer", "ttt", "mixer", "ngram", "compressor"),
    *("track", "config", "core"),
)


def name_of(path: Path) -> str:
    parts = ("pgolf", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Every module or name that ``path`` imports, at its top or inside, for types or not; dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_of(name: str) -> str | None:
    """The module of pgolf that ``name``, a module or something in one, lies in; None for other packages."""
    while name.startswith("pgolf."):
        if name in MODULES:
            return name
        name = name.rpartition(".")[0]
    return None


@cache
def edges() -> dict[str, set[str]]:
    return {
        name: {target for imported in imports(path) if (target := module_of(imported)) and target != name}
        for name, path in MODULES.items()
    }


def floor(name: str) -> int:
    return FLOORS.index(name.split(".")[1])


def test_the_list_of_floors_is_the_list_of_packages():
    assert set(FLOORS) == {name.split(".")[1] for name in MODULES if "." in name}


def test_no_module_imports_upward():
    upward = [f"{a} -> {b}" for a, targets in edges().items() for b in targets if floor(b) < floor(a)]
    assert not upward, "\n".join(upward)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected groups of more than one node, by repeated removal of nodes nobody in a circle needs."""
    left = {name: set(targets) for name, targets in edges.items()}
    while True:
        used = {target for targets in left.values() for target in targets}
        free = [name for name, targets in left.items() if not targets & left.keys() or name not in used]
        if not free:
            return [sorted(left)] if left else []
        for name in free:
            del left[name]


def test_no_two_files_import_each_other_however_indirectly():
    assert circles(edges()) == []


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


def test_only_the_config_package_imports_hydra():
    for name, path in MODULES.items():
        if name.split(".")[1:2] and name.split(".")[1] in HYDRA_HOMES:
            continue
        foreign = {found for found in imports(path) if found.split(".")[0] in ("hydra", "omegaconf", "yaml")}
        assert not foreign, f"{name} imports {foreign}"


def test_the_command_line_imports_nothing_heavy_before_it_runs():
    heavy = ("torch", "hydra", "wandb", "sentencepiece", "numpy")
    code = f"import sys; from pgolf.cli.main import parser; parser(); print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_train_and_eval_import_no_torch_for_their_help(script):
    code = f"import sys, runpy; sys.argv = [{script!r}]; runpy.run_path({script!r}, run_name='x'); "
    code += "print('torch' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    ).stdout
    assert out.strip().splitlines()[-1] == "False"


def test_results_are_frozen_and_slotted():
    from pgolf.core import results

    for name, cls in vars(results).items():
        if dataclasses.is_dataclass(cls):
            assert cls.__dataclass_params__.frozen and "__slots__" in vars(cls), name


def test_the_readmes_tree_is_the_tree():
    """Every package has its line in README, in the order of the floors."""
    text = (PACKAGE.parent / "README.md").read_text()
    tree = text[text.index("## The tree") :].split("```")[1].partition("\npgolf/\n")[2]
    listed = re.findall(r"(\w+)(?:/|\.py)(?=\s)", "\n".join(line[:25] for line in tree.splitlines()))
    assert listed == [name for name in FLOORS if name != "__main__"]
