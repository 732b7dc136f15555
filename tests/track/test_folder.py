import json
import os
import subprocess
import sys

import pytest

from pgolf.core.errors import RunError
from pgolf.core.results import Score
from pgolf.track.folder import RunFolder
from pgolf.track.result import RunFacts, build_result, write_result


def finish(folder, status="finished", bpb=1.25):
    facts = RunFacts("n", folder.seed, folder.rerun, None, None, "abc", "python train.py")
    sums = (0.0, 1.0, 1.0, bpb, bpb)
    score = Score(3.1, bpb, *sums, "sliding", 8, 4, "raw", "val", False, 1000, 4000, 61.0, True)
    result = build_result(status=status, reason="", run=facts, budget={}, ledger={}, scores={"final": score})
    write_result(folder.path, result)
    folder.artifact.write_bytes(b"weights")


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_what_is_set_aside_with_checkpoints_could_have_been_resumed(tmp_path):
    for made in ("weights.pt", "checkpoints"):
        with RunFolder.open(tmp_path, "base", 1) as folder:
            (folder.path / made).mkdir()
    assert "resume=true" not in folder.note and "unfinished-1/" in folder.note
    with RunFolder.open(tmp_path, "base", 1) as folder:
        assert folder.note.endswith("unfinished-2/; resume=true would have gone on with it")


def test_a_run_is_reopened_as_it_was_left_and_what_is_complete_is_not(tmp_path):
    assert RunFolder.reopen(tmp_path, "base", 3) is None and not (tmp_path / "base").exists()
    with RunFolder.open(tmp_path, "base", 3) as folder:
        finish(folder)
    with pytest.raises(RunError, match=r"complete \(finished.*rerun=true, overwrite=true, another seed"):
        RunFolder.reopen(tmp_path, "base", 3)
    with RunFolder.open(tmp_path, "base", 3, rerun=True) as folder:
        finish(folder, "interrupted")
    with RunFolder.reopen(tmp_path, "base", 3) as folder:
        assert (folder.path.name, folder.rerun) == ("seed=3.r2", 2) and folder.artifact.exists()
        with pytest.raises(RunError, match="in use by another run"):
            RunFolder.reopen(tmp_path, "base", 3)


def test_new_folder_is_named_by_run_and_seed_and_leaves_no_lock(tmp_path):
    with RunFolder.open(tmp_path / "runs", "base", 7) as folder:
        assert folder.path == tmp_path / "runs" / "base" / "seed=7"
        assert (folder.rerun, folder.note) == (1, "")
        folder.write_config("a: 1\n")
        folder.write_overrides(["seed=7", "size=tiny"])
    assert folder.overrides.read_text() == "seed=7\nsize=tiny\n"
    assert names(folder.path) == ["config.yaml", "overrides"]


@pytest.mark.parametrize("status", ["finished", "over_cap", "over_time", "certificate_failed"])
def test_complete_run_is_never_overwritten_unasked(tmp_path, status):
    with RunFolder.open(tmp_path, "base", 2) as folder:
        finish(folder, status, 1.2345)
    with pytest.raises(RunError) as error:
        RunFolder.open(tmp_path, "base", 2)
    for word in (
        str(folder.path),
        "1.2345",
        "overwrite=true",
        "rerun=true",
        "seed=2.r2",
        "another seed",
        status,
    ):
        assert word in str(error.value)
    assert folder.artifact.read_bytes() == b"weights"


def test_overwrite_starts_clean_and_touches_no_neighbour(tmp_path):
    for seed in (1, 2):
        with RunFolder.open(tmp_path, "base", seed) as folder:
            finish(folder)
            (folder.path / "wandb").mkdir()
            (folder.path / "unfinished-1").mkdir()
    with RunFolder.open(tmp_path, "base", 2, overwrite=True) as folder:
        assert names(folder.path) == [".lock", "unfinished-1"]
        assert "overwrote" in folder.note and "1.2500" in folder.note
    assert (tmp_path / "base" / "seed=1" / "result.json").exists()


def test_rerun_takes_the_next_free_ordinal(tmp_path):
    for expected in ("seed=2", "seed=2.r2", "seed=2.r3"):
        with RunFolder.open(tmp_path, "base", 2, rerun=True) as folder:
            assert folder.path.name == expected
            finish(folder)
    assert folder.rerun == 3
    with pytest.raises(RunError, match=r"seed=2\.r4"):
        RunFolder.open(tmp_path, "base", 2)


def test_rerun_steps_past_a_run_at_work(tmp_path):
    with (
        RunFolder.open(tmp_path, "base", 2, rerun=True),
        RunFolder.open(tmp_path, "base", 2, rerun=True) as second,
    ):
        assert second.path.name == "seed=2.r2"


def test_overwrite_and_rerun_exclude_each_other(tmp_path):
    with pytest.raises(RunError, match="exclude"):
        RunFolder.open(tmp_path, "base", 1, overwrite=True, rerun=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_unfinished_run_is_set_aside_and_nothing_lost(tmp_path, overwrite):
    for round in (1, 2, 3):
        with RunFolder.open(tmp_path, "base", 5, overwrite=overwrite) as folder:
            assert bool(folder.note) == (round > 1)
            folder.metrics.write_text(f"round {round}")
            folder.artifact.write_bytes(b"half")
    assert names(folder.path) == ["artifact.pgolf", "metrics.jsonl", "unfinished-1", "unfinished-2"]
    assert (folder.path / "unfinished-1" / "metrics.jsonl").read_text() == "round 1"
    assert "unfinished-2/" in folder.note and "without a result" in folder.note


def test_interrupted_run_is_set_aside_with_its_status_named(tmp_path):
    with RunFolder.open(tmp_path, "base", 5) as folder:
        finish(folder, "interrupted")
    with RunFolder.open(tmp_path, "base", 5) as folder:
        assert "interrupted" in folder.note
        assert (folder.path / "unfinished-1" / "result.json").exists()


def test_unreadable_result_counts_as_unfinished_but_a_newer_one_is_protected(tmp_path):
    with RunFolder.open(tmp_path, "base", 5) as folder:
        folder.result.write_text("{half")
    with RunFolder.open(tmp_path, "base", 5) as folder:
        assert "cannot be read" in folder.note
        folder.result.write_text(json.dumps({"schema_version": 99, "status": "finished"}))
    with pytest.raises(RunError, match="already there"):
        RunFolder.open(tmp_path, "base", 5)


def test_half_a_result_is_of_a_run_that_ended_and_is_protected(tmp_path):
    with RunFolder.open(tmp_path, "base", 5) as folder:
        folder.result.write_text(json.dumps({"schema_version": 1, "status": "finished"}))
    with pytest.raises(RunError, match=r"already there \(half a result: reason is not in it\)"):
        RunFolder.open(tmp_path, "base", 5)


def test_two_processes_never_share_a_folder(tmp_path):
    held = RunFolder.open(tmp_path, "base", 1)
    script = (
        "import sys; from pathlib import Path; from pgolf.track.folder import RunFolder\n"
        "try: RunFolder.open(Path(sys.argv[1]), 'base', 1)\n"
        "except ValueError as error: print(error); sys.exit(2)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    other = subprocess.run(command, capture_output=True, text=True)
    assert other.returncode == 2 and f"process {os.getpid()}" in other.stdout
    held.close()
    held.close()
    assert subprocess.run(command).returncode == 0


def test_lock_of_a_killed_process_is_stale(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from pgolf.track.folder import RunFolder\n"
        "folder = RunFolder.open(Path(sys.argv[1]), 'base', 1); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)])
    assert (tmp_path / "base" / "seed=1" / ".lock").exists()
    with RunFolder.open(tmp_path, "base", 1) as folder:
        assert folder.note == ""


def test_places_that_cannot_be_used_are_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file: is a file, not a folder.*run_root"):
        RunFolder.open(tmp_path / "file", "base", 1)
    (tmp_path / "base").write_text("")
    with pytest.raises(RunError, match="base: is a file"):
        RunFolder.open(tmp_path, "base", 1)
    with pytest.raises(RunError, match="not usable as the name"):
        RunFolder.open(tmp_path, "../base", 1)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(RunError, match=r"seed=1: cannot be locked for writing: Permission denied"):
        RunFolder.open(tmp_path, "other", 1)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(RunError, match=r"seed=2: cannot be used as a run folder: Permission denied"):
        RunFolder.open(tmp_path, "other", 2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder_is_a_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="Permission denied"):
            RunFolder.open(tmp_path, "base", 1)
    finally:
        tmp_path.chmod(0o700)


def test_full_disk_is_a_clear_error(tmp_path, monkeypatch):
    with RunFolder.open(tmp_path, "base", 1) as folder:
        folder.write_config("old")

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(RunError, match=r"config.yaml.*No space left"):
            folder.write_config("new")
        assert folder.config.read_text() == "old"
        assert names(folder.path) == [".lock", "config.yaml"]
