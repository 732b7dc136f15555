"""Coprime strides: every window of a shard once a pass, the mix rises, and the seed is what it is said to be."""

import itertools
import math
import shutil
from collections import Counter

import numpy as np
import pytest

from pgolf.core.errors import DataError
from pgolf.data.shards import whole
from pgolf.loader.coprime import ShardMixture, path_seed, shard_seed
from tests.loader.orders import loader, rows, write_shards


def mixture(lengths, window=8, mixes=(8, 32, 10), seed=1):
    return ShardMixture(lengths, window, mixes, seed)


@pytest.mark.parametrize("length", [9, 10, 17, 100, 333])
def test_a_pass_visits_every_window_of_a_shard_once_in_a_coprime_stride(length):
    one = mixture([length])
    for _ in range(4):
        passed = [one.draw(1)[0]]
        walk = one.state()["walks"][0]
        phase, blocks, _, stride, _ = walk
        assert 0 <= phase < 8 and blocks == (length - 1 - phase) // 8 and math.gcd(stride, blocks) == 1
        passed += [one.draw(1)[0] for _ in range(blocks - 1)]
        starts = [start for _, start in passed]
        assert sorted(starts) == [phase + 8 * block for block in range(blocks)]
        assert len({(b - a) // 8 % blocks for a, b in itertools.pairwise(starts)}) <= 1
        assert max(starts) + 8 < length


def test_a_draw_takes_a_window_from_each_of_its_shards_and_never_one_twice():
    one = mixture([400] * 12)
    for _ in range(30):
        drawn = one.draw(40)
        assert len(drawn) == 40 and len({shard for shard, _ in drawn}) >= 8
    fresh = mixture([10_000] * 12).draw(40)
    assert len(set(fresh)) == 40


def test_shards_in_a_draw_rise_with_the_ramp_and_end_with_the_shards_and_windows_there_are():
    one = mixture([100_000] * 50, mixes=(8, 32, 10))
    mixes = [len({shard for shard, _ in one.draw(64)}) for _ in range(14)]
    assert mixes == [min(32, round(8 + 24 * draw / 10)) for draw in range(14)]
    assert len({shard for shard, _ in mixture([1000] * 3).draw(64)}) == 3
    assert len({shard for shard, _ in mixture([1000] * 50).draw(4)}) == 4


@pytest.mark.parametrize(("ramp", "power"), [(10**9, 0.9), (1, 0.5)], ids=["at first", "after the ramp"])
def test_fuller_shards_are_drawn_more_often_and_less_so_after_the_ramp(ramp, power):
    """By windows left to the power of 0.9, which falls to 0.5."""
    one = mixture([1_000_000, 10_000], mixes=(1, 1, ramp))
    one.draw(1)
    counts = np.bincount([one.draw(1)[0][0] for _ in range(2000)], minlength=2)
    expected = 2000 / (1 + 100**power)
    assert 0.6 * expected < counts[1] < 1.4 * expected


def test_a_draw_takes_one_window_of_each_of_its_shards_in_turn_and_those_of_a_shard_in_no_order():
    left = [shard for shard, _ in mixture([4000] * 12, mixes=(4, 4, 1)).draw(30)]
    times = Counter(left)
    assert len(times) == 4 and len(set(times.values())) > 1
    for turn in range(max(times.values())):
        shards = {shard for shard, many in times.items() if many > turn}
        assert set(left[: len(shards)]) == shards
        left = left[len(shards) :]
    walked = [start for _, start in mixture([1000]).draw(60)]
    assert len({(b - a) // 8 % 124 for a, b in itertools.pairwise(walked)}) > 10, "a walk has one stride"


def test_a_rank_takes_every_world_th_window_of_a_draw(tmp_path):
    slices = write_shards(tmp_path)
    drawn = rows(loader("coprime", slices))
    for world in (2, 4, 8):
        for rank in range(world):
            assert rows(loader("coprime", slices, world=world, rank=rank)) == drawn[rank::world]


def test_shards_shorter_than_a_window_are_left_out():
    assert {shard for shard, _ in mixture([8, 9, 3]).draw(5)} == {1}
    with pytest.raises(DataError, match=r"has the 9 tokens of a window .* longest has 8"):
        mixture([8, 3])


def test_the_seed_is_of_names_counts_and_the_run_and_not_of_the_folder(tmp_path):
    (tmp_path / "a").mkdir()
    slices = write_shards(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    elsewhere = whole(sorted((tmp_path / "b").iterdir()))
    order = rows(loader("coprime", slices), 20)
    assert rows(loader("coprime", elsewhere), 20) == order
    assert rows(loader("coprime", slices, seed=4), 20) != order
    assert rows(loader("coprime", slices[:-1]), 20) != order
    seeds = {shard_seed(["x"], [3], 0), shard_seed(["y"], [3], 0), shard_seed(["x"], [4], 0), shard_seed(["x"], [3], 1)}
    assert len(seeds) == 4


def test_the_published_seed_is_of_the_paths_and_not_of_the_run(tmp_path):
    slices = write_shards(tmp_path)
    order = rows(loader("coprime_pr726", slices), 20)
    assert rows(loader("coprime_pr726", slices, seed=4), 20) == order
    assert rows(loader("coprime_pr726", slices, hashed_folder="elsewhere"), 20) != order


def test_the_path_hash_is_the_published_formula():
    assert path_seed([]) == 0
    assert path_seed(["a"]) == 97 * 1099511628211
    assert path_seed(["ab"]) == path_seed(["a", "b"]) == ((97 * 1099511628211 ^ 98) * 1099511628211) % 2**64


def test_as_published_the_curriculum_advances_by_micro_steps(tmp_path):
    slices = write_shards(tmp_path, [900] * 40)
    numbers = {"batch_tokens": 8 * 8 * 40, "mix_first": 2, "mix_last": 34, "ramp": 8}

    def mixes(option, accumulation):
        one = loader(option, slices, accumulation=accumulation, **numbers)
        return [len({(min(filter(None, row)) - 1) // 900 for row in rows(one)}) for _ in range(8)]

    assert mixes("coprime_pr726", 1) == [2 + 4 * draw for draw in range(8)]
    assert mixes("coprime_pr726", 8) == [min(40, 2 + 4 * draw) for draw in range(8)], "one step is a whole curriculum"
    of_steps = loader("coprime", slices, accumulation=8, **numbers)
    assert len({(min(filter(None, row)) - 1) // 900 for row in rows(of_steps, 8)}) == 2
