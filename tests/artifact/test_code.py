import ast

import pytest

from pgolf.artifact.code import NOT_BUNDLED, RUN_ROOTS, closure_sources, code_estimate, is_bundled
from pgolf.core.errors import ConfigError

RTN = "quant:\n  _target_: pgolf.quant.rtn.RTN\n"


def test_closure_follows_imports_and_carries_packages():
    sources = closure_sources(["pgolf.quant.rtn"], "")
    assert {"pgolf", "pgolf.quant", "pgolf.quant.rtn", "pgolf.quant.grid", "pgolf.core.results"} <= set(
        sources
    )
    assert "pgolf.quant.none" not in sources
    assert list(sources) == sorted(sources)


@pytest.mark.parametrize(
    "config", [RTN, '{"_target_": "pgolf.quant.rtn.RTN"}', "{_target_: 'pgolf.quant.rtn.RTN'}"]
)
def test_targets_in_the_config_are_roots(config):
    assert "pgolf.quant.rtn" in closure_sources([], config)


def test_only_the_chosen_compressor_is_counted():
    sources = closure_sources(["pgolf.artifact.container"], "_target_: pgolf.compressor.brotli.Brotli")
    assert "pgolf.compressor.brotli" in sources
    assert "pgolf.compressor.lzma" not in sources


def test_what_a_bundle_does_not_need_is_left_out():
    sources = closure_sources(["pgolf.config.make", "pgolf.config.check"], "")
    assert "pgolf.config.make" in sources
    assert "pgolf.config.check" not in sources
    assert not any(is_bundled(package) for package in NOT_BUNDLED if package != "pgolf.config")
    assert all(NOT_BUNDLED.values())


def test_default_roots_train_and_evaluate():
    sources = closure_sources(None, "")
    assert set(RUN_ROOTS) <= set(sources)
    assert all(is_bundled(name) for name in sources)


def test_sources_carry_no_docstrings_or_comments_and_still_parse():
    for source in closure_sources(["pgolf.quant.rtn"], "").values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                assert ast.get_docstring(node) is None
        assert not any(line.lstrip().startswith("#") for line in source.splitlines())


def test_estimate_is_repeatable_and_grows_with_code_and_config():
    small = code_estimate(["pgolf.quant.grid"], "")
    assert small == code_estimate(["pgolf.quant.grid"], "")
    assert (
        small
        < code_estimate(["pgolf.quant.rtn"], "")
        < code_estimate(["pgolf.quant.rtn"], "notes: a longer config\n")
    )
    assert 500 < small < 20_000


def test_unknown_module_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"pgolf\.quant\.nothing"):
        code_estimate(["pgolf.quant.nothing"], "")
    with pytest.raises(ConfigError, match=r"pgolf\.quant\.gone"):
        code_estimate([], "_target_: pgolf.quant.gone.Gone")
