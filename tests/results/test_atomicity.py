"""A file appears whole or not at all, whatever happens on the way."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest

from lico import atomic
from lico.atomic import write_atomically
from lico.errors import ResultsError
from lico.results import hdf5, writer
from lico.results.reader import check_run
from lico.results.writer import write_run
from tests.analysis.synthetic import config_of, record_of

ROOT = Path(__file__).parents[2]
NOBODY = 65534


def _fail(*_: object) -> NoReturn:
    raise OSError(28, "No space left on device")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result"
    write_atomically(path, b"old")
    monkeypatch.setattr(atomic.os, "fsync", _fail)
    with pytest.raises(ResultsError, match="No space left on device; free some space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_an_interrupt_on_the_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "fsync":
        monkeypatch.setattr(atomic.os, "fsync", _interrupt)
    else:
        monkeypatch.setattr(Path, "replace", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "result", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_composing_a_run_touches_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(config_of("baseline", 1))
    path = tmp_path / f"{record.config.run_id()}.h5"
    write_run(record, path)
    before = path.read_bytes()
    monkeypatch.setattr(writer, "_fill_gallery", _fail)
    with pytest.raises(OSError, match="No space"):
        write_run(record, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_complete_is_the_last_thing_written(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def look(file: hdf5.Node) -> None:
        seen.append("complete" in file.attrs)

    hdf5.sealed(look)
    assert seen == [False]


def test_a_missing_folder_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"none/result.*No such file.*create the folder"):
        write_atomically(tmp_path / "none" / "result", b"new")


def test_a_folder_that_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user than root, who may write everywhere."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o555)
    user = os.geteuid()
    try:
        os.seteuid(user or NOBODY)
        with pytest.raises(ResultsError, match="Permission denied; make the folder writable"):
            write_atomically(Path("result"), b"new")
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)


def test_a_file_size_limit_leaves_nothing(tmp_path: Path) -> None:
    """The real system refuses in the middle of the file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ResultsError, match="File too large; allow larger files"):
            write_atomically(tmp_path / "result", b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


_WRITE_FOREVER = """
import sys
from pathlib import Path
from lico.results.writer import write_run
from tests.analysis.synthetic import config_of, record_of
record = record_of(config_of("lico", 1))
path = Path(sys.argv[1]) / f"{record.config.run_id()}.h5"
print("ready", flush=True)
while True:
    path.unlink(missing_ok=True)
    write_run(record, path)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_no_half_file_that_counts(tmp_path: Path) -> None:
    """Killed at twelve moments, the file is there whole or not there."""
    for moment in range(12):
        folder = tmp_path / str(moment)
        folder.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITE_FOREVER, str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.013 * moment)
            process.kill()
        for path in folder.glob("*.h5"):
            assert check_run(path) is None
        for left in folder.glob(".*.tmp"):
            assert check_run(left) is not None
