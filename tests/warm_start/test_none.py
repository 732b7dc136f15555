"""Without a warm start nothing happens before the first step."""

from pgolf.core.make import make
from tests.helpers import tiny_settings


def test_there_is_no_hook():
    assert list(make(tiny_settings()["warm_start"]).attach(dataset=None)) == []
