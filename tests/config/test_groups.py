"""The table of groups, conf/, pgolf/ and tests/ agree: one technique, one module, one YAML, one test."""

import ast
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from pgolf.config.groups import GROUPS, technique_groups
from pgolf.config.options import conf_dir

ROOT = conf_dir().parent


def yamls(group):
    return sorted((ROOT / "conf" / group.path).glob("*.yaml"))


def target_in(path: Path) -> str | None:
    content = yaml.safe_load(path.read_text()) or {}
    return content.get("_target_")


def test_every_folder_of_conf_is_a_group_and_every_group_has_a_folder():
    folders = {str(p.relative_to(ROOT / "conf")) for p in (ROOT / "conf").rglob("*") if p.is_dir()}
    declared = {group.path for group in GROUPS if yamls(group)}
    assert folders - {"experiment", "arch/addon"} == declared - {"experiment", "arch/addon"}


@pytest.mark.parametrize("group", list(technique_groups()), ids=lambda g: g.path)
def test_every_technique_yaml_has_a_module_and_a_test_of_its_stem(group):
    folder = ROOT / "pgolf" / group.path
    for path in yamls(group):
        target = target_in(path)
        if target is None:
            assert "defaults" in yaml.safe_load(path.read_text()), f"{path} neither names a class nor inherits one"
            continue
        module = target.rpartition(".")[0]
        assert module == f"{group.package}.{path.stem}", f"{path} names {target}"
        assert (folder / f"{path.stem}.py").is_file()
        assert (ROOT / "tests" / group.path / f"test_{path.stem}.py").is_file(), (
            f"no test for {path.stem} of {group.path}"
        )


@pytest.mark.parametrize("group", [g for g in GROUPS if g.many], ids=lambda g: g.path)
def test_choose_many_options_say_where_they_go(group):
    for path in yamls(group):
        assert path.read_text().splitlines()[0] == f"# @package {group.key}.{path.stem}"


def face(group) -> tuple[str, set[str]]:
    """What a group's package says of itself: the contract, and the modules that are no words."""
    text = " ".join((ROOT / "pgolf" / group.path / "__init__.py").read_text().split())
    contract, leaves = re.search(r"Contract: ``([\w.]+)``\. Leaves: (.*?)\.", text).groups()
    return contract, set(re.findall(r"``(\w+)``", leaves))


@pytest.mark.parametrize("group", list(technique_groups()), ids=lambda g: g.path)
def test_a_package_says_where_its_contract_is_and_which_modules_are_no_words(group):
    contract, leaves = face(group)
    home, _, name = contract.rpartition(".")
    assert hasattr(import_module(home), name)
    modules = {path.stem for path in (ROOT / "pgolf" / group.path).glob("*.py")} - {"__init__"}
    words = {target.split(".")[-2] for path in yamls(group) if (target := target_in(path))}
    assert leaves <= modules and not leaves & words
    assert modules - leaves - words <= {home.rpartition(".")[2]}, "neither a word nor a leaf"


def test_no_two_classes_have_one_name():
    classes = [
        node.name
        for path in (ROOT / "pgolf").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert not [name for name, count in Counter(classes).items() if count > 1]
