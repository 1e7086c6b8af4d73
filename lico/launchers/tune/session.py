"""A Ray cluster for one command: on this machine's loopback, or one that runs already.

All of Ray's files lie in a folder of the project's cache that only this user can read, and that
goes with the command, even if that is killed (`lico.launchers.tune.reaper`).
"""

import importlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lico.errors import ResultsError
from lico.launchers.tune.reaper import reaper
from lico.launchers.tune.settings import TuneSettings

OBJECT_STORE_BYTES = 100 * 2**20  # trials pass no data; Ray's minimum is 75 MiB
ANSWER_WITHIN_SECONDS = 10
STARTS = 3
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (where shared memory lies, not a temporary file)
SOCKET_PATH_LIMIT = 107  # bytes of an AF_UNIX address on Linux, without the final zero
SOCKET_BELOW = len("/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store")
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 (mkdtemp makes a private one)

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # tells nobody, needs no network
    "RAY_AUTH_MODE": "token",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # its tables; the command has its own
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the run files are the log
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # the objective comes at halvings alone
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command, as everywhere in lico
}
LOOPBACK_ONLY = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's switch for "this machine is all there is"
    "DASHBOARD_METRIC_PORT": "-1",  # its metrics would listen on every interface
}


class RayError(Exception):
    """Ray cannot start or has not what was asked for; the message says what to do."""


@dataclass(frozen=True)
class Session:
    """A cluster that is up.

    Attributes:
        dashboard: address of the dashboard, or None.
        token_file: file with the token that the dashboard asks for.
        cpus: of the whole cluster.
        gpus: of the whole cluster.
        largest_gpus: of the node that has most.
    """

    dashboard: str | None
    token_file: Path | None
    cpus: float
    gpus: float
    largest_gpus: float


@contextmanager
def ray_session(settings: TuneSettings, cpus: int | None, *, gpus: bool) -> Generator[Session]:
    """Ray, up inside the block and gone after it, however it ends.

    Args:
        settings: address and dashboard.
        cpus: that trials may use in all; None: as many as the machine has.
        gpus: whether trials may use this machine's GPUs.

    Raises:
        RayError: if it does not start.
    """
    own_mode = os.environ.get("RAY_AUTH_MODE")
    if settings.address:
        with _environment(ENVIRONMENT):
            if own_mode:  # a cluster of the user's may do without
                os.environ["RAY_AUTH_MODE"] = own_mode
            _require_listening(settings.address)
            yield from _up({"address": settings.address}, None)
        return
    with (
        _private_folder() as (folder, short),
        _environment(ENVIRONMENT | LOOPBACK_ONLY | {"RAY_AUTH_TOKEN_PATH": f"{folder}/token"}),
    ):
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        options: dict[str, Any] = {
            "address": "local",
            "num_cpus": cpus,
            "num_gpus": None if gpus else 0,
            "include_dashboard": settings.dashboard,
            "dashboard_host": settings.dashboard_host,
            "dashboard_port": settings.dashboard_port,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": short,
        }
        if not _has_shared_memory():
            options["_plasma_directory"] = short
        yield from _up(options, token)


@contextmanager
def _environment(changes: dict[str, str]) -> Generator[None]:
    """The environment with these changes; what is started after the block sees none of them."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _require_listening(address: str) -> None:
    """Say at once what Ray says after minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise RayError(f"tune.address={address} must be HOST:PORT, as ray start prints it")
    try:
        socket.create_connection((host, int(port)), ANSWER_WITHIN_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RayError(
            f"nothing answers at tune.address={address} ({error}); start a cluster with "
            "ray start --head, or leave the address out"
        ) from error


def _up(options: dict[str, Any], token: Path | None) -> Iterator[Session]:
    import ray  # noqa: PLC0415 (reads the environment when it is imported)

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what fails is told by the command
    meanwhile = threading.Thread(target=importlib.import_module, args=("ray.tune",), daemon=True)
    meanwhile.start()  # takes as long as a third of the start
    context = _started(options, token)
    meanwhile.join()
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        url = context.dashboard_url
        yield Session(
            f"http://{url}" if url else None,
            token,
            sum(node.get("CPU", 0) for node in nodes),
            sum(node.get("GPU", 0) for node in nodes),
            max((node.get("GPU", 0) for node in nodes), default=0),
        )
    finally:
        ray.shutdown()


def _started(options: dict[str, Any], token: Path | None) -> Any:
    """Ray's context; a start that a busy machine did not manage in Ray's 30 seconds is repeated."""
    import ray  # noqa: PLC0415 (as above)
    from ray.exceptions import AuthenticationError  # noqa: PLC0415

    starts_left = STARTS
    while True:
        starts_left -= 1
        try:
            return ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
        except AuthenticationError as error:
            raise RayError(
                f"the Ray cluster at tune.address={options['address']} wants a token: put the path "
                "of its file into RAY_AUTH_TOKEN_PATH, or set RAY_AUTH_MODE=disabled if it has none"
            ) from error
        except Exception as error:  # Ray raises bare ones here
            ray.shutdown()
            if not starts_left or "timed out during startup" not in str(error):
                where = "does not start" if token else f"is not at {options['address']}"
                raise RayError(f"Ray {where}: {error}") from error


def cache_folder() -> Path:
    """The project's cache: XDG_CACHE_HOME, which the Makefile sets, or `.cache` of the checkout."""
    given = os.environ.get("XDG_CACHE_HOME")
    checkout = Path(__file__).parents[3]
    if given:
        return Path(given)
    if (checkout / "pyproject.toml").exists():
        return checkout / ".cache"
    return Path.home() / ".cache" / "lico"


@contextmanager
def _private_folder() -> Generator[tuple[Path, str]]:
    """A folder for one session, and a path to it that is short enough for sockets.

    Addresses of sockets are limited to 107 bytes. Where the cache lies too deep Ray is given a
    symbolic link in a private folder with a short name; the files themselves stay in the cache.
    """
    parent = cache_folder() / "ray"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="", dir=parent))
    except OSError as error:
        raise ResultsError(
            f"cannot write to the cache {parent} ({error.strerror}); make it writable, or set "
            "XDG_CACHE_HOME to another folder"
        ) from error
    folder = folder.resolve()
    too_long = len(os.fsencode(folder)) + SOCKET_BELOW > SOCKET_PATH_LIMIT
    link = _short_link(folder) if too_long else None
    with reaper(folder, link):
        yield folder, str(link or folder)


def _short_link(folder: Path) -> Path:
    for place in SHORT_FOLDERS:
        with suppress(OSError):
            link = Path(tempfile.mkdtemp(prefix="lico-", dir=place)) / "r"
            link.symlink_to(folder.resolve())
            return link
    raise RayError(
        f"{folder} is too deep for Ray's sockets (107 bytes in all), and none of "
        f"{', '.join(SHORT_FOLDERS)} can hold a short link to it; set XDG_CACHE_HOME to a folder "
        f"with a path of at most {SOCKET_PATH_LIMIT - SOCKET_BELOW - len('/ray/12345678')} bytes"
    )


def _has_shared_memory() -> bool:
    try:
        return shutil.disk_usage(SHARED_MEMORY).free > 2 * OBJECT_STORE_BYTES
    except OSError:
        return False
