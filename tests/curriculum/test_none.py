"""Without a curriculum the trainer draws from the loader itself."""

from pgolf.curriculum.none import NoCurriculum
from tests.train.rig import FakeTime, RandomLoader


def test_the_loader_is_left_as_it_is():
    loader = RandomLoader(FakeTime())
    assert NoCurriculum().wrap(loader) is loader
