from pgolf.core.make import make
from pgolf.core.prediction import Facts


def test_no_ngram_contributes_no_expert():
    assert make({"_target_": "pgolf.ngram.none.NoNGram"}).stages(Facts(10, 1, 100)) == ()
