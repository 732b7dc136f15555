import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts


def test_the_networks_row_stands_alone_and_with_others_it_is_refused():
    mixer = make({"_target_": "pgolf.mixer.none.Single"})
    assert mixer.stage(Facts(10, 1, 100), experts=0) is None
    with pytest.raises(ConfigError, match="cannot combine it with 2 more"):
        mixer.stage(Facts(10, 1, 100), experts=2)
