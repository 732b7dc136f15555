import pytest

from pgolf.compressor.brotli import Brotli
from tests.compressor.contract import *  # noqa: F403


@pytest.fixture
def codec():
    return Brotli(quality=11, lgwin=24)
