import ast

import pytest

from pgolf.bundle.sources import NOT_BUNDLED, imported_from, is_bundled, is_module, source_of
from pgolf.core.errors import ConfigError


def test_a_source_knows_where_its_relative_imports_start():
    module, package = source_of("pgolf.quant.grid"), source_of("pgolf.quant")
    assert module.package == package.package == "pgolf.quant"
    relative = ast.parse("from ..core import errors").body[0]
    assert imported_from(relative, module.package) == "pgolf.core"


def test_only_modules_of_this_package_are_modules():
    assert is_module("pgolf.quant") and is_module("pgolf.quant.grid")
    assert not is_module("pgolf.quant.grid.qmax") and not is_module("torch")


def test_what_serves_the_experimenter_is_not_bundled():
    assert not any(is_bundled(package) for package in NOT_BUNDLED)
    assert not is_bundled("pgolf.config.check") and is_bundled("pgolf.core.make")
    assert is_bundled("pgolf.configured")
    assert all(NOT_BUNDLED.values())


def test_unknown_modules_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"pgolf\.quant\.nothing"):
        source_of("pgolf.quant.nothing")
    with pytest.raises(ConfigError, match="torch"):
        source_of("torch")
