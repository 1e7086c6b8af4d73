"""Where the files of an experiment lie below `run.results`."""

import tempfile
from pathlib import Path

from lico.config import Config
from lico.errors import ResultsError


def experiment_folder(results: str | Path, experiment: str) -> Path:
    """All files of one experiment."""
    return Path(results) / experiment


def run_file(config: Config) -> Path:
    """The run's HDF5 file; it exists only when the run is finished."""
    return _folder(config) / "runs" / f"{config.run_id()}.h5"


def weights_file(config: Config) -> Path:
    """The finished classifier's state dict, as a plain torchvision model takes it."""
    return _folder(config) / "runs" / f"{config.run_id()}.safetensors"


def work_folder(config: Config) -> Path:
    """What is only of use until the run is finished."""
    return _folder(config) / "work" / config.run_id()


def checkpoint_file(config: Config) -> Path:
    """What an interrupted run goes on from."""
    return work_folder(config) / "checkpoint.pt"


def claim_file(config: Config) -> Path:
    """Which process may write the run's files."""
    return work_folder(config) / "claim.json"


def log_file(config: Config) -> Path:
    """What went wrong, if a run failed."""
    return work_folder(config) / "error.log"


def tensorboard_folder(config: Config) -> Path:
    """TensorBoard scalars of the run."""
    return _folder(config) / "tensorboard" / config.run_id()


def _folder(config: Config) -> Path:
    return experiment_folder(config.run.results, config.experiment)


def require_writable(folder: Path) -> None:
    """Create the folder and try a file in it.

    Raises:
        ResultsError: if that does not work, with the system's reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(
            f"cannot write to the results folder {folder} ({error.strerror}); "
            "make it writable or choose another with run.results=FOLDER"
        ) from error
