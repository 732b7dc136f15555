"""Without a teacher there is none, and nothing of the budget goes to one."""

from pgolf.core.make import make
from tests.helpers import tiny_settings


def test_there_is_no_teacher_and_no_share_of_the_budget():
    cfg = tiny_settings()
    distillation = make(cfg["distillation"])
    assert distillation.teacher(cfg["arch"]) is None and distillation.share == 0
