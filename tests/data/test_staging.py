"""Copies on node-local disk: one, whole, and never in the way."""

import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from lico.data.packed import staging
from lico.data.packed.images import PackedImages
from lico.data.packed.layout import PackError
from lico.data.packed.staging import StagingWarning, staged
from lico.data.packed.write import write_pack
from lico.data.source import ArraySplit, Source


def pack(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    split = ArraySplit(pixels, np.zeros(50, np.int64), [str(index) for index in range(50)])
    return write_pack(Source("tiny", ["a"], ["a"], {"train": split}), path).path


def stage_and_count(path: Path, folder: Path, counts: Path) -> None:
    copyfile = shutil.copyfile

    def counted(source: Path, target: Path) -> object:
        (counts / f"{os.getpid()}").touch()
        return copyfile(source, target)

    staging.shutil.copyfile = counted  # type: ignore[assignment]
    assert len(PackedImages(staged(path, folder), "train")) == 50


def test_one_copy_however_many_jobs(tmp_path: Path) -> None:
    path, folder, counts = pack(tmp_path / "tiny.h5"), tmp_path / "local", tmp_path / "counts"
    counts.mkdir()
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=stage_and_count, args=(path, folder, counts)) for _ in range(6)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
        assert job.exitcode == 0
    assert len(list(counts.iterdir())) == 1
    copies = list(folder.glob("*.h5"))
    assert len(copies) == 1
    assert copies[0].read_bytes() == path.read_bytes()


def test_the_copy_is_of_the_content_and_variables_are_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "local"))
    first = staged(pack(tmp_path / "tiny.h5"), "$NODE_DISK/lico")
    assert first.parent == tmp_path / "local" / "lico"
    second = staged(pack(tmp_path / "tiny.h5", seed=1), "$NODE_DISK/lico")
    assert first != second
    assert second.read_bytes() == (tmp_path / "tiny.h5").read_bytes()


def test_what_a_killed_job_left_is_no_copy(tmp_path: Path) -> None:
    path, folder = pack(tmp_path / "tiny.h5"), tmp_path / "local"
    target = staged(path, folder)
    half = path.read_bytes()[:1000]
    target.write_bytes(half)
    (folder / f".{target.name}.tmp").write_bytes(half)
    assert staged(path, folder).read_bytes() == path.read_bytes()
    assert [each.name for each in folder.glob(".*.tmp")] == []


def test_a_full_local_disk_reads_from_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "tiny.h5")
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _path: usage)
    with pytest.warns(StagingWarning, match="0.0 GB free.*it is read from"):
        assert staged(path, tmp_path / "local") == path
    assert not list((tmp_path / "local").glob("*.h5"))
    with pytest.warns(StagingWarning, match="is not copied there"):
        assert staged(path, path / "no folder") == path


def test_a_pack_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no packed data set"):
        staged(tmp_path / "absent.h5", tmp_path)
