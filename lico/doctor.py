"""What this machine has and lacks for each experiment, and how to get it."""

import shutil
from pathlib import Path

import psutil
import torch
from rich.console import Console
from rich.table import Table

from lico.config import Config
from lico.data.missing import DataMissingError
from lico.data.packed.layout import PackError
from lico.data.registry import load_data
from lico.errors import ResultsError
from lico.results.layout import require_writable
from lico.study import expand, experiment_names, load_experiment
from lico.text.loading import TextWeightsError, weights_file

FREE_GB_WANTED = 5


def examine(console: Console, results: Path) -> None:
    """Print the machine's state, and each experiment's."""
    console.print(_machine(results))
    experiments = Table("experiment", "runs", "ready", "what is missing, and how to get it")
    for name in experiment_names():
        configs = expand(name, load_experiment(name), [])
        lacks = missing_for(configs)
        ready = "[red]no[/]" if lacks else "[green]yes[/]"
        experiments.add_row(name, str(len(configs)), ready, "\n".join(lacks))
    console.print(experiments)


def missing_for(configs: list[Config]) -> list[str]:
    """What stands between this machine and these runs, each with its remedy."""
    lacks: list[str] = []
    for config in {c.data.model_dump_json(): c for c in configs}.values():
        try:
            load_data(config.data.model_copy(update={"stage": None}), "val")
        except (DataMissingError, PackError, ValueError) as error:
            lacks.append(str(error))
    for config in {
        c.text.model_dump_json(): c for c in configs if c.method.name == "lico"
    }.values():
        try:
            weights_file(config.text, download=False)
        except TextWeightsError:
            lacks.append(
                f"text weights {config.text.model} / {config.text.pretrained}: run "
                '"lico data clip", or use text=embedded'
            )
    return list(dict.fromkeys(lacks))


def _machine(results: Path) -> Table:
    table = Table("", "this machine", "", title="lico doctor")
    gpu = torch.cuda.is_available()
    table.add_row(
        "GPU",
        torch.cuda.get_device_name() if gpu else "none",
        "" if gpu else "runs go on the CPU; only the demo is sized for that",
    )
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 1e9
    table.add_row("CPU", f"{cores} cores, {memory:.0f} GB of memory", "")
    slurm = shutil.which("sbatch")
    table.add_row("Slurm", slurm or "none", "" if slurm else "studies run here: lico study NAME")
    free = shutil.disk_usage(results if results.exists() else Path.cwd()).free / 1e9
    table.add_row(
        "disk", f"{free:.0f} GB free", "" if free > FREE_GB_WANTED else "too little; make room"
    )
    try:
        require_writable(results)
        table.add_row("results", str(results), "writable")
    except ResultsError as error:
        table.add_row("results", str(results), str(error))
    return table
