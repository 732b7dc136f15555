"""What is kept of a sealed process's kernels while others of its ranks go on compiling."""

import os
import threading
from pathlib import Path

import pytest

from pgolf.eval.home import Home
from pgolf.eval.source import PackageSource


class OwnPlace(PackageSource):
    """Its kernels are in no folder that other tests' processes take theirs from."""

    kernels = Path()


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(OwnPlace, "kernels", tmp_path)
    return OwnPlace()


def test_kernels_are_kept_while_another_rank_is_writing_some(source):
    """As numba does: under a name of its own for the time being, and then under the last one."""
    with Home(source) as home:
        folder, ended, written = home.kernels / "ngram", threading.Event(), 0
        folder.mkdir()

        def write():
            nonlocal written
            while not ended.is_set():
                for number in range(20):
                    path = folder / f"predict-{number}.nbc"
                    being_written = folder / f"{path.name}.tmp.{written:016x}"
                    being_written.write_bytes(bytes([number]) * 4096)
                    os.replace(being_written, path)
                    written += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            while written < 40:
                home.keep_kernels()
            for _ in range(60):
                home.keep_kernels()
        finally:
            ended.set()
            writer.join()
        kept = sorted((source.kernels / "ngram").glob("predict-*"))
        assert [path.read_bytes() for path in kept] == [bytes([int(path.stem[8:])]) * 4096 for path in kept]
        assert len(kept) == 20


def test_what_is_half_written_is_not_kept(source):
    with Home(source) as home:
        for name in ("half.nbi", "half.nbc.tmp.0123456789abcdef"):
            (home.kernels / name).write_bytes(b"kernel")
        home.keep_kernels()
    assert (source.kernels / "half.nbi").read_bytes() == b"kernel" and not list(source.kernels.glob("half*.tmp*"))
