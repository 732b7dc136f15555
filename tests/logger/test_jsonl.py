import json
from pathlib import Path

from omegaconf import OmegaConf

from pgolf.core.make import make
from pgolf.logger.jsonl import Jsonl


def test_every_step_is_one_strict_json_line_on_disk_at_once(tmp_path):
    logger = Jsonl(flush_seconds=0, folder=tmp_path, say=print)
    logger.start({"run": {"name": "n", "seed": 1}})
    logger.log(1, {"train_loss": 3.5, "lr": 0.01})
    logger.log(2, {"train_loss": float("nan"), "norm": float("inf")})

    def refuse(word):
        raise AssertionError(word)

    first, second = [
        json.loads(line, parse_constant=refuse) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert first.pop("seconds") >= 0 and first == {"step": 1, "train_loss": 3.5, "lr": 0.01}
    assert second["train_loss"] is None and second["nonfinite"] == {"train_loss": "nan", "norm": "inf"}
    logger.finish({})
    logger.finish({})
    logger.log(3, {"train_loss": 1.0})
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_lines_that_are_kept_back_are_on_disk_once_they_are_asked_for(tmp_path):
    logger = Jsonl(flush_seconds=1000, folder=tmp_path, say=print)
    logger.start({})
    logger.log(1, {"train_loss": 3.5})
    assert not (tmp_path / "metrics.jsonl").read_text()
    logger.flush()
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["step"] == 1
    logger.finish({})
    logger.flush()


def test_a_run_that_is_taken_up_goes_on_in_time(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for before, least in (('{"step": 1, "seconds": 1000.5}\n', 1000.5), ("", 0.0), ("not JSON\n", 0.0)):
        path.write_text(before)
        logger = Jsonl(flush_seconds=0, folder=tmp_path, say=print)
        logger.start({})
        logger.log(2, {})
        logger.finish({})
        line = json.loads(path.read_text().splitlines()[-1])
        assert least <= line["seconds"] < least + 60 and path.read_text().startswith(before)


def test_place_that_cannot_be_written_is_one_line_and_no_failure(tmp_path):
    said = []
    logger = Jsonl(flush_seconds=0, folder=tmp_path / "missing", say=said.append)
    logger.start({})
    logger.log(1, {"train_loss": 1.0})
    logger.finish({})
    assert len(said) == 1 and "cannot be written" in said[0]


def test_full_disk_ends_the_file_with_one_line(tmp_path):
    said = []
    logger = Jsonl(flush_seconds=0, folder=tmp_path, say=said.append)
    logger.start({})

    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

    logger._stream = Full()
    logger.log(1, {"a": 1.0})
    logger.log(2, {"a": 1.0})
    logger.finish({})
    assert len(said) == 1 and "No space left" in said[0]


def test_yaml_holds_every_number_of_the_constructor(tmp_path):
    path = Path(__file__).parents[2] / "conf" / "logger" / "jsonl.yaml"
    assert path.read_text().splitlines()[0] == "# @package logger.jsonl"
    node = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(make(node, folder=tmp_path, say=print), Jsonl)
