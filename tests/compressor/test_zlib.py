import pytest

from pgolf.compressor.zlib import Zlib
from tests.compressor.contract import *  # noqa: F403


@pytest.fixture
def codec():
    return Zlib(level=9)
