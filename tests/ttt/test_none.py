from pgolf.core.make import make
from tests.eval.fakes import Counting


def test_no_adaptation_gives_the_expert_back():
    expert = Counting(3)
    assert make({"_target_": "pgolf.ttt.none.NoAdaptation"}).wrap(expert, chunks=4) is expert
