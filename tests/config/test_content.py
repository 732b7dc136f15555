"""One rule says what a run computes: the name, the bundled script and requantize leave the rest out by it."""

from pgolf.bundle.script import bundled_config
from pgolf.config.compose import compose, settings
from pgolf.config.content import BESIDE, SIZE_KEYS, STEERING, content
from pgolf.config.groups import GROUPS
from pgolf.config.requantize_words import FREE
from pgolf.config.schema import FACTS


def test_the_content_is_the_groups_and_the_facts_that_do_not_steer():
    groups = {group.path for group in GROUPS if "/" not in group.path} - {"experiment", "logger"}
    assert set(content(settings(compose()))) == groups | {"device", "train"}


def test_every_root_key_is_a_group_or_a_fact_of_which_it_is_known_whether_it_steers():
    assert set(FACTS) - set(STEERING) - set(BESIDE) == {"device", "size", "budget", "train"}


def test_of_size_only_what_is_read_at_run_time_counts():
    cfg = settings(compose())
    assert set(content(cfg)["size"]) == set(SIZE_KEYS) < set(cfg["size"])


def test_the_bundle_carries_the_content_and_nothing_else():
    cfg = settings(compose())
    carried = bundled_config(cfg | {"machine": {"device": "cpu"}})
    assert carried == content(cfg)


def test_requantize_takes_words_that_steer_but_not_those_about_its_parent():
    assert set(FREE) - {"device", "logger"} <= set(STEERING) and "parent_run" not in FREE
