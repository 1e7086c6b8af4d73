"""Where nothing is given to write to, something is found; where it is given, it stays."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from lico import writable
from lico.errors import ResultsError
from lico.writable import provide_writable_places


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder and variables of this test's own."""
    for name in ("HOME", "HF_HOME", "USER", "TMPDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def test_a_usable_home_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    provide_writable_places()
    assert os.environ["HOME"] == str(tmp_path)
    assert not {"HF_HOME", "TMPDIR"} & set(os.environ)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("home", [None, "", "/nonexistent", "relative"])
def test_without_a_home_one_is_made_that_nobody_else_can_read(
    home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is not None:
        monkeypatch.setenv("HOME", home)
    provide_writable_places()
    made = Path(os.environ["HOME"])
    assert made.parent == Path(tempfile.gettempdir())
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    provide_writable_places()
    assert os.environ["HOME"] == str(made)


def test_weights_in_a_home_that_cannot_be_written_are_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / ".cache" / "huggingface"
    weights.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(writable.os, "access", lambda path, _: Path(path) != tmp_path)
    provide_writable_places()
    assert os.environ["HF_HOME"] == str(weights)
    assert os.environ["HOME"] != str(tmp_path)


def test_a_folder_that_somebody_else_put_there_is_not_used(tmp_path: Path) -> None:
    taken = Path(tempfile.gettempdir()) / f"lico-home-{os.getuid()}"
    (tmp_path / "elsewhere").mkdir()
    taken.symlink_to(tmp_path / "elsewhere")
    provide_writable_places()
    assert Path(os.environ["HOME"]) != taken
    assert Path(os.environ["HOME"]).is_dir()


def no_temporary_folder() -> str:
    raise FileNotFoundError


def test_shared_memory_is_the_last_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", no_temporary_folder)
    monkeypatch.setattr(writable, "_SHARED_MEMORY", tmp_path)
    provide_writable_places()
    assert os.environ["TMPDIR"] == str(tmp_path)
    assert Path(os.environ["HOME"]).parent == tmp_path
    monkeypatch.setattr(writable, "_SHARED_MEMORY", tmp_path / "gone")
    with pytest.raises(ResultsError, match="set TMPDIR"):
        provide_writable_places()


def test_a_user_without_a_name_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writable.pwd, "getpwuid", {}.__getitem__)
    provide_writable_places()
    assert os.environ["USER"] == f"user-{os.getuid()}"
