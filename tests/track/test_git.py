import subprocess

import pytest

from pgolf.track.git import GitFacts, git_facts


def git(where, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *words], cwd=where, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_clean_and_changed_repository(repository):
    facts = git_facts(repository)
    assert len(facts.sha) == 40 and facts.dirty is False
    (repository / "code.py").write_text("2")
    assert git_facts(repository) == GitFacts(facts.sha, True)


def test_code_that_is_not_tracked_has_no_revision(repository):
    (repository / "site-packages").mkdir()
    (repository / "site-packages" / "other.py").write_text("")
    assert git_facts(repository / "site-packages") == GitFacts(None, None)


def test_no_repository_and_no_git_are_null(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_facts(tmp_path / "missing") == GitFacts(None, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_facts() == GitFacts(None, None)
