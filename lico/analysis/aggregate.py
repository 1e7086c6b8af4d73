"""From an experiment's run files to `study.h5` and its tables."""

from pathlib import Path

from lico.analysis.collect import collect
from lico.analysis.study_file import write_study
from lico.analysis.table_files import write_tables
from lico.analysis.tables import build_tables
from lico.config import Config
from lico.results.layout import require_writable


def aggregate(folder: Path, tables: list[str], *, expected: list[Config] | None = None) -> Path:
    """Gather the finished runs; a study that is only partly finished is fine.

    Args:
        folder: `<results>/<experiment>`, with the run files in `runs`.
        tables: names of the tables to write (`lico.analysis.tables.TABLES`).
        expected: the whole study's configurations, if known: then missing runs are listed and
            files of other configurations are left out.

    Returns:
        `study.h5`; beside it are `tables/<name>.csv` and `tables/<name>.md`.

    Raises:
        AnalysisError: for an unknown table.
        ResultsError: if a file cannot be written.
    """
    study = collect(folder, expected)
    built = build_tables(study, tables)
    require_writable(folder / "tables")
    write_study(study, folder / "study.h5")
    write_tables(built, folder / "tables")
    return folder / "study.h5"
