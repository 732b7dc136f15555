from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.network import FixedNetwork
from tests.helpers import tiny_model


def test_no_adaptation_gives_the_network_back():
    network = FixedNetwork(tiny_model())
    assert make({"_target_": "pgolf.ttt.none.NoAdaptation"}).wrap(network, Facts(10, 1, 100)) is network
