import pytest

from pgolf.compressor.zstd import Zstd
from tests.compressor.contract import *  # noqa: F403


@pytest.fixture
def codec():
    return Zstd(level=22)
