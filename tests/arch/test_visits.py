from pgolf.arch.visits import route


def test_repeated_layers_count_their_visits():
    repeated = route("twice", [0, 1, 2, 1, 2, 3])
    assert [v.key for v in repeated.visits] == ["0_0", "1_0", "2_0", "1_1", "2_1", "3_0"]
    assert [v.virtual for v in repeated.visits] == list(range(6))
    assert repeated.skips == 3


def test_the_encoder_can_be_longer_than_half():
    assert route("6+3", range(9), encoder=6).skips == 3
