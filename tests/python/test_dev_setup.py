"""./dev setup never empties an environment that belongs to somebody else."""

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools" / "dev"


@pytest.fixture
def setup(monkeypatch):
    """The module tools/dev/setup.py, with the commands it would run written down instead."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(TOOLS))
    module = importlib.import_module("setup")
    ran = []
    monkeypatch.setattr(module, "run", lambda command, failure, **options: ran.append(command))
    yield module, ran
    for name in set(sys.modules) - before:
        if str(TOOLS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_a_venv_that_is_a_link_is_refused_and_kept(setup, tmp_path, monkeypatch):
    module, ran = setup
    monkeypatch.setattr(module, "ROOT", tmp_path / "here")
    theirs = tmp_path / "theirs"
    (theirs / "bin").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    link = tmp_path / "here" / ".venv"
    link.symlink_to(theirs)
    with pytest.raises(module.Failure, match=r"\.venv is a link to .*theirs"):
        module.make_venv(link)
    assert ran == []
    assert (theirs / "bin").is_dir()


def test_a_venv_of_its_own_is_made_anew(setup, tmp_path, monkeypatch):
    module, ran = setup
    monkeypatch.setattr(module, "ROOT", tmp_path)
    module.make_venv(tmp_path / ".venv")
    assert ran[0][1:] == ["-m", "venv", "--clear", str(tmp_path / ".venv")]
