"""Imports keep to their side: Hydra in the config package, nothing heavy before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pgolf

PACKAGE = Path(pgolf.__file__).parent
HYDRA_HOMES = ("config",)
TECHNIQUES = (
    "arch",
    "optimizer",
    "schedule",
    "hook",
    "qat",
    "quant",
    "compressor",
    "eval",
    "ttt",
    "ngram",
    "mixer",
    "loader",
    "tokenizer",
    "data",
    "core",
    "train",
    "artifact",
)
FORBIDDEN_IN_TECHNIQUES = (
    "pgolf.track",
    "pgolf.logger",
    "pgolf.run.record",
    "pgolf.run.stages",
    "pgolf.cli.main",
)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def modules(folder: Path):
    return sorted(folder.rglob("*.py"))


def test_only_the_config_package_imports_hydra():
    for path in modules(PACKAGE):
        if path.relative_to(PACKAGE).parts[0] in HYDRA_HOMES:
            continue
        foreign = {name for name in imports(path) if name.split(".")[0] in ("hydra", "omegaconf", "yaml")}
        assert not foreign, f"{path.relative_to(PACKAGE)} imports {foreign}"


@pytest.mark.parametrize("package", TECHNIQUES)
def test_techniques_import_no_record_keeping_and_no_configuration(package):
    for path in modules(PACKAGE / package):
        if path.name == "cli.py":
            continue
        for name in imports(path):
            assert not name.startswith(FORBIDDEN_IN_TECHNIQUES), f"{path.relative_to(PACKAGE)} imports {name}"
            assert not name.startswith("pgolf.config") or name == "pgolf.core.make", (
                f"{path.relative_to(PACKAGE)} imports {name}"
            )


def test_the_command_line_imports_nothing_heavy_before_it_runs():
    code = "import sys, pgolf.cli.main; pgolf.cli.main.parser(); print([m for m in ('torch', 'hydra', 'wandb', 'sentencepiece', 'numpy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_train_and_eval_import_no_torch_for_their_help():
    for script in ("train.py", "eval.py"):
        code = f"import sys, runpy; sys.argv = [{script!r}]; runpy.run_path({script!r}, run_name='x'); print('torch' in sys.modules)"
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
        ).stdout
        assert out.strip().splitlines()[-1] == "False", script


def test_results_are_frozen_and_slotted():
    import dataclasses

    from pgolf.core import results

    for name, cls in vars(results).items():
        if dataclasses.is_dataclass(cls):
            assert cls.__dataclass_params__.frozen and "__slots__" in vars(cls), name
