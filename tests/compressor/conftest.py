import random
import tracemalloc

import pytest


@pytest.fixture(scope="session")
def samples():
    source = random.Random(0)
    weights = bytes(max(0, min(255, round(source.gauss(128, 9)))) for _ in range(20_000))
    return (b"", b"a", b"abc" * 500, bytes(3_000_000), source.randbytes(5_000), weights)


@pytest.fixture
def peak_bytes():
    """Run a function; the peak of what Python allocated meanwhile is in ``seen``."""

    class Peak:
        seen = 0

        def __call__(self, function):
            tracemalloc.start()
            try:
                return function()
            finally:
                self.seen = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()

    return Peak()
