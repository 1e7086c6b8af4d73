"""What a study under Ray Tune keeps on disk: whose it is, its runs, and every report in order.

The run files say what is done and each run's checkpoint says where it goes on. This folder,
`<results>/<experiment>/tune`, adds what early stopping and an energy limit need to go on as if
nothing had happened:

    study.json      format, experiment, identity, and the runs' configurations by run id
    reports.jsonl   one line a report of a trial, in the order of arrival
    stopped.json    run ids that early stopping has ended
    lock            held by the command that works on the study
"""

import fcntl
import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lico.atomic import write_atomically
from lico.config import Config
from lico.errors import ResultsError
from lico.results.layout import experiment_folder, require_writable, run_file
from lico.results.reader import is_finished
from lico.study import Experiment

FORMAT = "lico-tune-1"
STOPPED = "stopped.json"

Report = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """The record of one study.

    Attributes:
        folder: `<results>/<experiment>/tune`.
    """

    folder: Path

    @property
    def study(self) -> Path:
        """Whose record it is, and the runs."""
        return self.folder / "study.json"

    @property
    def log(self) -> Path:
        """One line a report."""
        return self.folder / "reports.jsonl"

    def note_stopped(self, run_ids: list[str]) -> None:
        """Keep which runs early stopping has ended, for reports that come later."""
        write_atomically(self.folder / STOPPED, json.dumps(run_ids).encode())

    def reports(self) -> list[Report]:
        """All reports so far; a last line that was cut off by a kill is left out."""
        try:
            lines = self.log.read_text().splitlines()
        except FileNotFoundError:
            return []
        found: list[Report] = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def add(self, report: Report) -> None:
        """Append a report.

        Raises:
            ResultsError: if the disk is full.
        """
        try:
            with self.log.open("a") as file:
                file.write(json.dumps(report) + "\n")
        except OSError as error:
            raise ResultsError(
                f"cannot write {self.log}: {error.strerror}; free some space there and give the "
                "same command again"
            ) from error


@contextmanager
def open_record(name: str, experiment: Experiment, configs: list[Config]) -> Generator[Record]:
    """The study's record, new or from earlier, held by this process alone.

    Args:
        name: of the experiment.
        experiment: what it says.
        configs: its runs, all.

    Raises:
        ResultsError: if the record is another study's, cannot be read or written, or is in use.
            Nothing in it was changed then.
    """
    folder = experiment_folder(configs[0].run.results, configs[0].experiment) / "tune"
    record = Record(folder)
    require_writable(folder)
    with _held(folder / "lock"):
        mine = {
            "format": FORMAT,
            "experiment": Path(name).stem,
            "identity": identity(experiment, configs),
        }
        _check_owner(record, mine)
        runs = {config.run_id(): config.model_dump(mode="json") for config in configs}
        write_atomically(record.study, json.dumps(mine | {"runs": runs}).encode())
        _mend_last_line(record.log)
        yield record


def not_stopped(configs: list[Config]) -> list[Config]:
    """The runs that early stopping has left: neither stopped nor another seed of such a point.

    What is finished all the same, by another launcher, counts.
    """
    folder = experiment_folder(configs[0].run.results, configs[0].experiment) / "tune"
    try:
        stopped = set(json.loads((folder / STOPPED).read_text()))
    except (OSError, ValueError, TypeError):
        return configs
    points = {
        point_of(config)
        for config in configs
        if config.run_id() in stopped and not is_finished(run_file(config), config)
    }
    return [config for config in configs if point_of(config) not in points]


def point_of(config: Config) -> tuple[str, ...]:
    """The run's place in its study, whatever the seed."""
    return tuple(level for axis, level in config.axes.items() if axis != "seed")


def identity(experiment: Experiment, configs: list[Config]) -> str:
    """What must be the same for a record to be gone on with.

    Of an experiment with axes: the axes. A search also compares reports of one command with those
    of the next, so there everything counts that decides them, but the number of points.
    """
    parts: list[Any] = [experiment.base, experiment.axes]
    if experiment.search:
        parts.append(experiment.search.model_dump(mode="json", exclude={"points"}))
        first = configs[0].identity()
        parts.append({k: v for k, v in first.items() if k not in {"seed", "axes"}})
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_runs(study: Path) -> dict[str, Any]:
    """The runs' configurations by run id."""
    return json.loads(study.read_text())["runs"]


def _check_owner(record: Record, mine: dict[str, str]) -> None:
    remedy = (
        f"move {record.folder} away to start anew (finished runs stay), "
        "or choose another run.results=FOLDER"
    )
    try:
        found = json.loads(record.study.read_text())
        other = {key: found[key] for key in mine}
    except FileNotFoundError:
        if record.reports():
            raise ResultsError(
                f"{record.folder} has reports but no study.json that says whose; {remedy}"
            ) from None
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{record.study} cannot be read ({error}); {remedy}") from error
    if other["experiment"] != mine["experiment"]:
        raise ResultsError(
            f"{record.folder} was left by the experiment {other['experiment']!r}, and this is "
            f"{mine['experiment']!r}; {remedy}"
        )
    if other != mine:
        raise ResultsError(
            f"{record.folder} was left by {mine['experiment']!r} when its axes, search or "
            f"settings were others; {remedy}"
        )


@contextmanager
def _held(lock: Path) -> Generator[None]:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ResultsError(
                f"another lico tune is working on {lock.parent.parent}; wait for it or stop it"
            ) from error
        except OSError:
            pass  # a file system without locks
        yield


def _mend_last_line(log: Path) -> None:
    """End a line that a kill cut off, so that the next report does not join it."""
    if log.exists() and (content := log.read_bytes()) and not content.endswith(b"\n"):
        with log.open("ab") as file:
            file.write(b"\n")
