"""A checkpoint is whole or known not to be, runs nobody's code, and the newest few are kept."""

import hashlib
import io
import json
import os

import pytest
import torch

from pgolf.core.errors import RunError
from pgolf.train.checkpoints import Checkpoints, Torn, of_rank, read, with_all_parts
from pgolf.train.replicas import Alone
from pgolf.train.state import random_state, restore_random_state

STATE = {
    "model": {"a": torch.arange(6.0).view(2, 3)},
    "hooks": [{"on": True, "followed": None}, {}],
    "random": random_state(),
}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_what_was_written_is_read_to_the_bit_and_random_numbers_go_on_from_it(tmp_path):
    restore_random_state(STATE["random"])
    expected = torch.rand(3)
    path = Checkpoints(tmp_path).write(7, {"name": "é", "ledger": {"train": 1.5}}, STATE, keep=2)
    found = read(path)
    assert same(found.state, STATE) and (found.step, found.trained) == (7, False)
    assert (found.facts["name"], found.facts["ledger"]) == ("é", {"train": 1.5})
    restore_random_state(found.state["random"])
    assert torch.equal(torch.rand(3), expected)


def test_the_newest_few_are_kept_and_trained_is_the_newest_of_its_step(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (9, 10, 11):
        checkpoints.write(step, {}, STATE, keep=2)
    assert [path.name for path in checkpoints.paths()] == ["00000010.ckpt", "00000011.ckpt"]
    checkpoints.write(11, {}, STATE, keep=1, trained=True)
    assert [path.name for path in checkpoints.paths()] == ["00000011.trained.ckpt"]
    assert checkpoints.newest(print).trained
    checkpoints.remove()
    assert not checkpoints.folder.exists()


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.9999])
def test_a_torn_one_is_said_and_the_one_before_it_taken(share, tmp_path):
    checkpoints, said = Checkpoints(tmp_path), []
    checkpoints.write(1, {}, STATE, keep=2)
    path = checkpoints.write(2, {}, STATE, keep=2)
    os.truncate(path, int(share * path.stat().st_size))
    assert checkpoints.newest(said.append).step == 1
    assert len(said) == 1 and str(path) in said[0] and "the one before it" in said[0]
    checkpoints.write(3, {}, STATE, keep=2)
    assert [path.name for path in checkpoints.paths()] == ["00000001.ckpt", "00000003.ckpt"], "a torn one counts not"


def test_what_a_killed_process_had_begun_to_write_is_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.write(1, {}, STATE, keep=2)
    begun = path.with_name(f".{path.name}.0a1b2c3d.tmp")
    begun.write_bytes(b"half")
    assert checkpoints.newest(print).step == 1 and not begun.exists()
    begun.write_bytes(b"half")
    path.with_suffix(".torn").write_bytes(b"torn")
    checkpoints.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_changed_bit_anywhere_is_noticed(tmp_path):
    path = Checkpoints(tmp_path).write(1, {"name": "x"}, STATE, keep=1)
    whole = path.read_bytes()
    for place in (0, 5, 40, 90, 120, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(Torn):
            read(path)
    assert Checkpoints(tmp_path).newest(lambda text: None) is None


def test_one_of_another_version_is_refused_by_name_not_skipped(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, {}, STATE, keep=2)
    path = checkpoints.write(2, {}, STATE, keep=2)
    path.write_bytes(path.read_bytes().replace(b"checkpoint 2\n", b"checkpoint 1\n", 1))
    with pytest.raises(RunError, match=r"00000002\.ckpt: a checkpoint of version 1; this pgolf reads version 2"):
        checkpoints.newest(print)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_no_code_in_a_foreign_file_runs(tmp_path):
    content = io.BytesIO()
    torch.save({"model": Harmful(str(tmp_path / "harm"))}, content)
    rest = json.dumps({"step": 1, "trained": False}).encode() + b"\n" + content.getvalue()
    path = tmp_path / "00000001.ckpt"
    path.write_bytes(f"pgolf checkpoint 2\n{hashlib.sha256(rest).hexdigest()}\n".encode() + rest)
    with pytest.raises(Torn, match="not what a checkpoint holds"):
        read(path)
    assert not (tmp_path / "harm").exists()


def test_a_state_that_would_not_be_read_back_is_named_before_it_is_written(tmp_path):
    with pytest.raises(AssertionError, match=r"state\['hooks'\]\[1\]\['seen'\], a set"):
        Checkpoints(tmp_path).write(1, {}, {"hooks": [{}, {"seen": {1}}]}, keep=1)
    assert Checkpoints(tmp_path).paths() == []


def test_what_ranks_do_not_have_in_common_is_taken_up_by_rank_and_all_else_from_the_first():
    class Two(Alone):
        def gathered(self, thing):
            return [thing, {"loader": 8, "hooks": {1: "its own"}}]

    state = {"step": 3, "optimizer": "whole", "loader": 7, "hooks": ["common", "mine"]}
    kept = with_all_parts(state, {"loader": 7, "hooks": {1: "mine"}}, Two())
    assert {**of_rank(kept, 0), "parts": None} == {**state, "parts": None}
    assert {**of_rank(kept, 1), "parts": None} == {
        **state,
        "loader": 8,
        "hooks": ["common", "its own"],
        "parts": None,
    }
    assert of_rank(state, 1) == state
