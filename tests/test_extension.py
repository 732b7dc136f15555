"""Extension adds files: an option of every group at once, three files each, dropped into a copy of the tree.

Each is an existing option under another name. With no other edit anywhere the copy's own tests of options, its
covering array and a run from text to certificate must take them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pgolf.config.groups import technique_groups

TREE = Path(__file__).resolve().parents[1]
NAME = "dummy"

# The option of each group that is given another name: the plainest that names a class.
PATTERNS = {
    "data": "tiny",
    "tokenizer": "bytes",
    "loader": "sequential",
    "arch": "baseline",
    "arch/recurrence": "none",
    "arch/lanes": "none",
    "arch/mlp": "relu2",
    "arch/attention": "sdpa",
    "arch/init": "zero_proj",
    "arch/addon": "skip_gate",
    "warm_start": "none",
    "optimizer": "muon_adamw",
    "optimizer/orthogonal": "newton_schulz",
    "optimizer/normalize": "none",
    "optimizer/decay": "decoupled",
    "optimizer/sharding": "replicated",
    "schedule": "warmdown",
    "curriculum": "none",
    "distillation": "none",
    "auxiliary": "encoder",
    "averaging": "none",
    "hook": "wallclock",
    "qat": "none",
    "quant": "rtn",
    "quant/scale": "percentile",
    "quant/policy": "by_role",
    "quant/pruning": "none",
    "quant/correction": "none",
    "quant/calibration": "train",
    "compressor": "zlib",
    "eval": "non_overlapping",
    "ttt": "none",
    "ngram": "none",
    "mixer": "none",
    "logger": "jsonl",
}

TEST = """
from pgolf.config.compose import compose, plain
from pgolf.core.make import target_of


def test_the_option_is_there():
    node = plain(compose(["{path}={value}"{extra}]))
    for part in "{key}".split("."):
        node = node[part]
    assert target_of(node).__module__ == "{package}.dummy"
"""


# A run of nothing but new options, in the process that has imported everything for their tests.
RUN = """
from pathlib import Path
from pgolf.config.compose import compose, settings
from train import train


def test_a_run_of_nothing_but_new_options():
    root = Path(__file__).resolve().parents[1]
    words = [*{words!r}, f"run_root={{root / 'runs'}}", f"cache_dir={{root / 'cache'}}"]
    assert train(settings(compose(words)), words)[1] == 0
"""

# What the new options are the parameter of, but of the covering array three rows that hold some, and the tables.
FEW = f"""
def pytest_collection_modifyitems(config, items):
    rows = [item for item in items if "[row" in item.name and "{NAME}" in item.name]
    rest = [item for item in items if "[row" not in item.name and "{NAME}" in item.nodeid]
    tables = [item for item in items if "test_groups" in item.nodeid or "rows_contain" in item.name]
    items[:] = [item for item in items if item in rows[:3] + rest + tables]
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The tree with a dummy in every group."""
    root = tmp_path_factory.mktemp("copy")
    for name in ("pgolf", "conf", "tests"):
        shutil.copytree(TREE / name, root / name, ignore=shutil.ignore_patterns("*.pyc"))  # kernels are copied too
    for name in ("train.py", "eval.py", "pyproject.toml"):
        shutil.copy(TREE / name, root / name)
    for group in technique_groups():
        _add(root, group, PATTERNS[group.path])
    return root


def _add(root, group, pattern):
    module = (root / "pgolf" / group.path / f"{pattern}.py").read_text()
    classes = re.findall(r"^class (\w+)", module, re.MULTILINE)  # no two classes of pgolf have one name
    rename = [(rf"\b{name}\b", f"Dummy{name}") for name in classes] + [(f'"{pattern}"', f'"{NAME}"')]
    for before, after in rename:
        module = re.sub(before, after, module)
    (root / "pgolf" / group.path / f"{NAME}.py").write_text(module)
    yaml = (root / "conf" / group.path / f"{pattern}.yaml").read_text()
    yaml = re.sub(
        rf"{group.package}\.{pattern}\.(\w+)",
        lambda found: f"{group.package}.{NAME}.{'Dummy' * (found[1] in classes)}{found[1]}",
        yaml,
    )
    yaml = re.sub(rf"(# @package \S+\.){pattern}$", rf"\g<1>{NAME}", yaml, flags=re.MULTILINE)
    (root / "conf" / group.path / f"{NAME}.yaml").write_text(yaml)
    value = f"[{NAME}]" if group.many else NAME
    key = f"{group.key}.{NAME}" if group.many else group.key
    extra = ', "quant=int5_gptq"' if group.path.startswith("quant/") else ""
    test = TEST.format(path=group.path, value=value, key=key, package=group.package, extra=extra)
    (root / "tests" / group.path / f"test_{NAME}.py").write_text(test)


def words_of_a_run():
    words = [f"{g.path}={NAME}" for g in technique_groups() if not g.many and g.path != "quant/calibration"]
    words += ["hook=[dummy,validate]", "logger=[dummy]", "arch/addon=[dummy]", "auxiliary=[dummy]"]
    return [*words, "size=tiny", "budget=smoke", "budget.subset_tokens=1000", "train.compile=never"]


@pytest.fixture(scope="module")
def tests_of_the_copy(copy):
    """How its tests ended, in one process."""
    (copy / "few.py").write_text(FEW)
    (copy / "tests" / f"test_run_of_{NAME}.py").write_text(RUN.format(words=words_of_a_run()))
    places = [f"tests/{group.path}/test_{NAME}.py" for group in technique_groups()]
    places += [
        *("tests/config/test_groups.py", "tests/test_compose.py", "tests/compressor/test_registry.py"),
        *("tests/quant/test_presets.py", "tests/arch/step/test_feed.py", "tests/arch/test_covering.py"),
        f"tests/test_run_of_{NAME}.py",
    ]
    flags = ("-n", "0", "-p", "no:cacheprovider", "-p", "few", "--import-mode=importlib", "-rA", "--tb=short")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(copy), "HOME": str(copy)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *flags, *places],
        capture_output=True,
        text=True,
        cwd=copy,
        env=environment,
        timeout=900,
    )


def test_every_group_has_a_pattern_here():
    assert set(PATTERNS) == {group.path for group in technique_groups()}


def test_the_tests_of_options_take_a_new_option_of_every_group(tests_of_the_copy):
    done = tests_of_the_copy
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.findall(r"^PASSED (\S+)", done.stdout, re.MULTILINE)
    for group in technique_groups():
        assert any(f"tests/{group.path}/test_{NAME}.py" in test for test in passed), group.path
        composed = f"test_every_option_composes_and_passes_the_check[{group.path}-{NAME}]"
        assert any(composed in test for test in passed), group.path
    rows = [test for test in passed if "test_every_permitted_pair" in test and NAME in test]
    assert len(rows) == 3, "rows of the covering array hold dummies"
    for claim in ("by_its_codec_id_alone", "option_fits_the_default_model", "foretells_every_architecture"):
        assert any(claim in test and NAME in test for test in passed), claim


def test_a_run_of_nothing_but_new_options_ends_certified(copy, tests_of_the_copy):
    found = list(copy.glob("runs/*/seed=1337/result.json"))
    assert len(found) == 1, tests_of_the_copy.stdout[-3000:] + tests_of_the_copy.stderr[-3000:]
    facts = json.loads(found[0].read_text())
    assert facts["status"] == "finished" and facts["certificate"]["passed"]
    assert found[0].parent.parent.name.count(NAME) > 10, "the name says what was chosen"
