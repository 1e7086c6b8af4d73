"""Whatever lies under a run's name, the check says what is wrong with it and never raises."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lico.errors import ResultsError
from lico.results import hdf5
from lico.results.reader import check_run, is_finished, read_run
from lico.results.writer import write_run
from tests.analysis.synthetic import config_of, record_of

CONFIG = config_of("lico", 1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / f"{CONFIG.run_id()}.h5"
    write_run(record_of(CONFIG), path)
    return path


def reason(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    found = check_run(path)
    assert found is not None
    assert not is_finished(path, CONFIG)
    with pytest.raises(ResultsError):
        read_run(path)
    return found


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    assert "No such file" in str(check_run(path))
    assert "Is a directory" in str(check_run(tmp_path))
    assert "is empty" in reason(path, b"")
    assert "no HDF5 file" in reason(path, b"<html>")
    assert "no HDF5 file" in reason(path, bytes(5000))


def test_another_hdf5_file(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)
    assert "not one of this project" in str(check_run(path))


def test_every_truncation_is_found(tmp_path: Path, whole: Path) -> None:
    content, path = whole.read_bytes(), tmp_path / whole.name
    lengths = {*range(0, 700, 13), *np.linspace(700, len(content) - 1, 60).astype(int).tolist()}
    for length in sorted(lengths):
        reason(path, content[:length])


def test_every_bit_counts(tmp_path: Path, whole: Path) -> None:
    content, path = bytearray(whole.read_bytes()), tmp_path / whole.name
    random = np.random.default_rng(0)
    positions = [*range(0, 512, 37), *random.integers(512, len(content), 60).tolist()]
    for position in positions:
        bit = 1 << int(random.integers(8))
        content[position] ^= bit
        reason(path, bytes(content))
        content[position] ^= bit
    assert "does not match its checksum" in reason(path, bytes(content) + b"\0")
    path.write_bytes(content)
    assert check_run(path) is None


@settings(deadline=None, max_examples=60)
@given(content=st.binary(max_size=2000))
def test_random_bytes_never_raise(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    reason(tmp_path_factory.getbasetemp() / "random.h5", content)


@settings(deadline=None, max_examples=40)
@given(body=st.binary(max_size=400))
def test_garbage_under_a_right_seal_never_raises(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    text = f"lico sealed HDF5; SHA-256 of all after these 512 bytes: {_digest(body)}\n"
    content = text.encode().ljust(512, b"\0") + body
    reason(tmp_path_factory.getbasetemp() / "sealed.h5", content)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_a_file_under_another_name(tmp_path: Path, whole: Path) -> None:
    other = tmp_path / f"{config_of('lico', 2).run_id()}.h5"
    shutil.copy(whole, other)
    assert "not the one that it is named after" in str(check_run(other))
    assert not is_finished(other, config_of("lico", 2))


def _version(file: Any) -> None:
    file.attrs["version"] = 99


def _format(file: Any) -> None:
    file.attrs["format"] = "lico-study"


def _incomplete(file: Any) -> None:
    file.attrs["complete"] = False


def _no_logits(file: Any) -> None:
    del file["images/logits"]


def _no_maps(file: Any) -> None:
    del file["saliency/rise/maps"]


def _short_labels(file: Any) -> None:
    del file["images/label"]
    file["images/label"] = np.arange(3)


def _no_cost(file: Any) -> None:
    del file["cost"].attrs["energy_kwh"]


def _bad_config(file: Any) -> None:
    values = json.loads(file["config"][()]) | {"colour": "red"}
    file["config"][()] = json.dumps(values)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_version, "has version 99, and this code reads 2"),
        (_format, "has format 'lico-study'"),
        (_incomplete, "is not complete"),
        (_no_logits, "lacks a part"),
        (_no_maps, "lacks a part"),
        (_short_labels, "label"),
        (_no_cost, "energy_kwh"),
        (_bad_config, "colour"),
    ],
)
def test_a_sealed_file_that_lacks_something(
    tmp_path: Path, whole: Path, spoil: Callable[[Any], None], message: str
) -> None:
    path = tmp_path / whole.name
    shutil.copy(whole, path)
    with h5py.File(path, "r+") as file:
        spoil(file)
    assert "does not match its checksum" in str(check_run(path))
    body = path.read_bytes()[hdf5.SEAL_BYTES :]
    start = whole.read_bytes()[: hdf5.SEAL_BYTES].split(b": ")[0]
    seal = (start + b": " + _digest(body).encode() + b"\n").ljust(hdf5.SEAL_BYTES, b"\0")
    assert message in reason(path, seal + body)
