"""The real image: what is in it, and that it works for any user without rights or network."""

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from lico.results.reader import read_run
from slurm.container import Container, check, python_command
from tests.image.engine import ROOT, STRANGER, Image, build, missing
from tests.requirements import require

pytestmark = [pytest.mark.image, pytest.mark.slow]
SHORT = [
    "seed=1", "training.epochs=1", "data.scenes.train_images=160", "data.scenes.val_images=24",
    "saliency.rise.masks=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def image() -> Image:
    require("image", missing())
    return build(ROOT)


def test_labels_user_and_entry_point(image: Image) -> None:
    found = image.inspect()
    settings = found["Config"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    head = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert settings["Labels"]["org.opencontainers.image.version"] == version
    commit = settings["Labels"]["org.opencontainers.image.revision"].removesuffix("-modified")
    assert commit == head.stdout.strip()
    assert image.name.startswith(f"lico:{version}-{commit[:9]}")
    assert settings["User"] == "1000:1000"
    assert settings["Entrypoint"] == ["/opt/lico/bin/lico"]
    help_page = image.run(options=[])
    assert help_page.returncode == 0, help_page.stderr
    assert "Usage: lico" in help_page.stdout


LEFTOVERS = """
for each in gcc cc g++ make pip pip3 uv git curl; do command -v $each; done
ls -A /source /builder /var/lib/apt/lists /var/cache/apt /tmp /work
find /etc/pip.conf /etc/uv -type f -size +0
python -c 'import importlib.util as u; print(*filter(u.find_spec, ["pip", "pytest", "hatchling"]))'
find / -xdev -type f -perm -0002
find / -xdev -name .cache
true
"""


def test_no_build_tool_cache_or_file_that_all_may_write_is_left(image: Image) -> None:
    left = image.run("-c", LEFTOVERS, options=["--user=0:0", "--cap-add=DAC_OVERRIDE"],
                     entrypoint="/bin/sh")  # fmt: skip
    assert left.returncode == 0, left.stderr
    names = [line for line in left.stdout.splitlines() if line and not line.endswith(":")]
    assert names == []


def test_the_demo_by_an_unknown_user_equals_the_demo_outside(image: Image, tmp_path: Path) -> None:
    """Nothing to write but the results folder: no temporary folder, no home, no capabilities."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    options = [f"--volume={inside}:/work/results"]
    if image.engine == "podman":
        options.append("--read-only-tmpfs=false")
    user = STRANGER if os.getuid() == 0 else os.getuid()
    if os.getuid() == 0:
        os.chown(inside, user, user)
    elif image.engine == "podman":
        options.append("--userns=keep-id")
    done = image.run(
        "-u", "HOME", "lico", "study", "demo", *SHORT,
        options=[*options, f"--user={user}:{user}"], entrypoint="env",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert (inside / "demo/report.html").stat().st_size > 0
    assert {path.stat().st_uid for path in inside.rglob("*")} == {user}
    reference = subprocess.run(
        [sys.executable, "-m", "lico", "study", "demo", *SHORT, "run.results=."],
        cwd=outside, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert reference.returncode == 0, reference.stderr
    runs = sorted((outside / "demo/runs").glob("*.h5"))
    assert len(runs) == 10
    for path in runs:
        assert_equal_runs(path, inside / "demo/runs" / path.name)


def assert_equal_runs(first: Path, second: Path) -> None:
    """All that a run measures of its classifier, to the last bit; only costs may differ."""
    one, two = read_run(first), read_run(second)
    assert one.config.identity() == two.config.identity()
    np.testing.assert_array_equal(one.evaluation.logits, two.evaluation.logits)
    assert one.evaluation.saliency.keys() == two.evaluation.saliency.keys()
    for name, record in one.evaluation.saliency.items():
        np.testing.assert_array_equal(record.maps, two.evaluation.saliency[name].maps)
    weights = [path.with_suffix(".safetensors").read_bytes() for path in (first, second)]
    assert weights[0] == weights[1]
    assert two.provenance["commit"] != "unknown"


def test_a_mistake_is_one_sentence_in_the_image_too(image: Image) -> None:
    done = image.run("study", "demo", options=[f"--user={STRANGER}:{STRANGER}"])
    assert done.returncode == 1
    assert "cannot write to the results folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_script_that_runs_lico_in_it(image: Image, tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "slurm/container/run.sh", "study", "demo", "--dry-run"],
        cwd=tmp_path, env={**os.environ, "ENGINE": image.engine, "IMAGE": image.name},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "baseline-seed1" in done.stdout


TRITON = """
import triton.backends.nvidia.driver as driver
utilities = driver.CudaUtils()
print("ready", utilities.load_binary, driver.PyKernelArg)
"""


def test_triton_finds_its_driver_module_without_a_compiler(image: Image, tmp_path: Path) -> None:
    """On a GPU `libcuda.so.1` comes with the driver; here functions of the same names stand in."""
    require("image", None if shutil.which("cc") else "needs a C compiler to stand in for a driver")
    own = ["--user=0:0", "--cap-add=DAC_OVERRIDE", f"--volume={tmp_path}:/out"]
    copied = image.run("/opt/lico/libexec/cuda_utils.so", "/out", options=own, entrypoint="cp")
    assert copied.returncode == 0, copied.stderr
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", tmp_path / "cuda_utils.so"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = [line.split()[-1] for line in listed.stdout.splitlines() if " cu" in line]
    assert "cuModuleLoadData" in names
    (tmp_path / "driver.c").write_text(
        "".join(f"int {name}(void) {{ return 0; }}\n" for name in names)
    )
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", tmp_path / "libcuda.so.1",
         tmp_path / "driver.c"], check=True,
    )  # fmt: skip
    tmp_path.chmod(0o755)
    done = image.run(
        "-c", TRITON, entrypoint="/opt/lico/bin/python",
        options=[f"--volume={tmp_path}:/driver:ro", "--env=LD_LIBRARY_PATH=/driver",
                 "--env=HOME=/tmp"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stdout


# -- as a cluster profile runs it --------------------------------------------------------------

TASK = """
import os, pathlib, signal, sys, time
def end(number, frame):
    pathlib.Path("task.txt").write_text(f"{number} {os.getuid()} {os.environ['WORD']}")
    sys.exit(17)
signal.signal(signal.SIGUSR2, end)
pathlib.Path("started").touch()
time.sleep(60)
"""


@pytest.fixture
def container(image: Image) -> Container:
    return Container(runtime=image.engine, image=image.name)  # pyright: ignore[reportArgumentType]


def test_a_task_gets_signals_and_gives_its_exit_status(
    container: Container, tmp_path: Path
) -> None:
    assert check(container, folder=tmp_path, visible=[tmp_path / "results"]) == []
    words = python_command(container, gpus=False, environment={"WORD": "a b"}, folder=tmp_path)
    process = subprocess.Popen([*words, "-c", TASK])
    deadline = time.monotonic() + 300
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(timeout=300) == 17
    expected = f"{signal.SIGUSR2.value} {os.getuid()} a b"
    assert (tmp_path / "task.txt").read_text() == expected
    assert (tmp_path / "task.txt").stat().st_uid == os.getuid()


def test_a_task_runs_the_image_and_not_what_lies_in_its_folder(
    container: Container, tmp_path: Path
) -> None:
    for name in ("lico", "slurm", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not from the image')")
    words = python_command(container, gpus=False, environment={}, folder=tmp_path)
    code = "import lico.cli, slurm.container, torch; print(lico.cli.__file__)"
    done = subprocess.run([*words, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("/opt/lico/")


def test_a_change_of_the_sources_keeps_the_layer_of_dependencies(
    image: Image, tmp_path: Path
) -> None:
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    with (tmp_path / "lico/cli.py").open("a") as file:
        file.write("CHANGED = True\n")
    changed = build(tmp_path, GIT_DIR="none")
    assert changed.name.endswith("-unknown")
    old, new = (each.inspect()["RootFS"]["Layers"] for each in (image, changed))
    assert old[:-1] == new[:-1]
    assert old[-1] != new[-1]
    found = changed.run("-c", "import lico.cli; print(lico.cli.CHANGED)", options=[],
                        entrypoint="python")  # fmt: skip
    assert found.stdout == "True\n"
