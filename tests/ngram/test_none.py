from pgolf.core.make import make


def test_no_ngram_contributes_no_expert():
    assert make({"_target_": "pgolf.ngram.none.NoNGram"}).experts(vocab_size=10) == ()
