"""A run's saved config, read back: whatever the file says, settings or one error."""

import pytest

from pgolf.config.compose import read_config
from pgolf.core.errors import RunError


@pytest.mark.parametrize("depth", [100, 150, 300, 2_000])
def test_a_config_nested_too_deep_is_an_error_that_names_it(tmp_path, depth):
    path = tmp_path / "config.yaml"
    path.write_text("choices: {}\nunread: " + "[" * depth + "1" + "]" * depth + "\n")
    with pytest.raises(RunError, match=r"config\.yaml: the run's config"):
        read_config(path)


def test_a_folder_without_a_config_is_named_once(tmp_path):
    with pytest.raises(RunError) as caught:
        read_config(tmp_path / "config.yaml")
    reason = "a run's config cannot be read here (No such file or directory)"
    assert str(caught.value) == f"{tmp_path}/config.yaml: {reason}"


def test_a_config_comes_back_without_its_machine(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("choices: {}\nmachine: {threads: 2}\nwarm_start: {}\nnotes: [[[]]]\n")
    assert read_config(path) == {"choices": {}, "warm_start": {}, "notes": [[[]]]}


def test_a_config_that_is_no_text_is_an_error(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"choices: {}\nnotes: \xff\n")
    with pytest.raises(RunError, match=r"config\.yaml: the run's config cannot be read"):
        read_config(path)
