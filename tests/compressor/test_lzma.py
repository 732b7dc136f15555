import pytest

from pgolf.compressor.lzma import Lzma
from tests.compressor.contract import *  # noqa: F403


@pytest.fixture
def codec():
    return Lzma(preset=9)
