"""Time, memory and energy beside Table 1 and Appendix D."""

from lico.analysis.collect import Study
from lico.analysis.measures import measures
from lico.analysis.notes import seed_note
from lico.analysis.paper import Environment, Published, paper
from lico.analysis.statistics import Spread, spread
from lico.analysis.summary import Place, RunSummary
from lico.analysis.systems import in_order, system_of
from lico.analysis.table import Cell, Row, Table

_TIMED = ("baseline", "lico", "cgc")


def table1(study: Study) -> Table:
    """Seconds per epoch and peak memory of each training method, and ratios to the baseline."""
    columns = measures("seconds_per_epoch", "time_ratio", "peak_memory_gb", "memory_ratio")
    rows = [
        Row(
            label=" · ".join([system_of(system).short, *place]),
            system=system,
            cells=_timing_cells(study, system, place),
            place=place,
            runs=len(study.of(system, place)),
            expected=study.expected_of(system, place),
        )
        for place in study.places()
        for system in _TIMED
    ]
    devices = sorted({_device(run) for run in study.runs})
    caption = [
        (
            f"Measured on {', '.join(devices) or 'nothing yet'}; published on one RTX 4090 at "
            "16-bit precision. Seconds are the median over a run's epochs. Runs that shared the "
            "machine slowed each other: a benchmark runs alone (lico study timing --jobs 1)."
        ),
        (
            "Where the paper did not time the data set, batch size and model, its ratios are the "
            "range over its ResNet-18 settings."
        ),
    ]
    title = "Table 1. Time and memory of training"
    return Table("table1", title, columns, rows, caption, [seed_note(study)])


def _timing_cells(study: Study, system: str, place: Place) -> list[Cell]:
    runs = study.of(system, place)
    configs = [run.config for run in runs] + [
        config for config in study.expected or [] if study.is_at(config, system, place)
    ]
    if not configs:
        return [Cell()] * 4
    setting = f"{configs[0].data.name}_batch{configs[0].training.batch_size}"
    where = (setting, configs[0].model.name, system)
    memory = paper().memory_gb(*where)
    return [
        Cell(study.spread(system, ("", "seconds_per_epoch"), place), paper().seconds(*where)),
        Cell(
            _ratio(study, system, place, "seconds_per_epoch"),
            paper().time_ratio(*where),
        ),
        Cell(study.spread(system, ("", "peak_memory_gb"), place), memory),
        Cell(
            _ratio(study, system, place, "peak_memory_gb"),
            _memory_ratio(memory, paper().memory_gb(*where[:2], "baseline")),
        ),
    ]


def _device(run: RunSummary) -> str:
    """The GPU's name, or the processor's."""
    if run.cost.device != "cpu":
        return run.cost.device
    return str(run.provenance.get("hardware", {}).get("cpu", "cpu"))


def _ratio(study: Study, system: str, place: Place, metric: str) -> Spread | None:
    """Each seed's value over the baseline's of that seed."""
    base = {run.config.seed: run.value(("", metric)) for run in study.of("baseline", place)}
    ratios = {
        run.run_id: run.value(("", metric)) / base[run.config.seed]
        for run in study.of(system, place)
        if base.get(run.config.seed)
    }
    return spread(ratios) if ratios else None


def _memory_ratio(own: Published | None, base: Published | None) -> Published | None:
    return Published(own.mean / base.mean, bound=own.bound) if own and base else None


def appendix_d(study: Study) -> Table:
    """Energy and emissions a run and in all."""
    columns = measures("run_seconds", "energy_wh", "co2_g", "grams_co2_per_kwh")
    environment = paper().appendix_d_environment
    published = _published_per_run(environment)
    rows = [
        Row(
            label=" · ".join([system_of(system).label, *place]),
            system=system,
            cells=[
                Cell(
                    study.spread(system, ("", column.key), place),
                    published[column.key] if system == "lico" else None,
                )
                for column in columns
            ],
            place=place,
            runs=len(study.of(system, place)),
            expected=study.expected_of(system, place),
        )
        for place in study.places()
        for system in in_order(study.systems())
    ]
    rows.append(_total(study.runs, environment))
    caption = [
        (
            "Energy of training by process, read from the machine's meters or, where it has none, "
            "estimated by codecarbon from the processor's rated power and load; the paper assumes "
            f"{environment.watts:.0f} W for a whole machine and counts {environment.runs} runs. "
            "Different hardware, data and number of "
            "runs: the levels are not comparable."
        ),
    ]
    title = "Appendix D. Energy and emissions"
    return Table("appendix_d", title, columns, rows, caption, [seed_note(study)])


def _published_per_run(environment: Environment) -> dict[str, Published]:
    return {
        "run_seconds": Published(environment.seconds_per_run),
        "energy_wh": Published(1000 * environment.kwh / environment.runs),
        "co2_g": Published(1000 * environment.kg_co2 / environment.runs),
        "grams_co2_per_kwh": Published(environment.grams_co2_per_kwh),
    }


def _total(runs: list[RunSummary], environment: Environment) -> Row:
    """Sums over all runs; the mix is the sums' ratio."""
    energy, co2 = (_sum(runs, metric) for metric in ("energy_wh", "co2_g"))
    mix = None
    if energy and co2 and energy.mean:
        mix = Spread(1000 * co2.mean / energy.mean, None, energy.n, {})
    sums = [_sum(runs, "run_seconds"), energy, co2, mix]
    published = [
        Published(environment.seconds_per_run * environment.runs),
        Published(1000 * environment.kwh),
        Published(1000 * environment.kg_co2),
        Published(environment.grams_co2_per_kwh),
    ]
    cells = [Cell(total, number) for total, number in zip(sums, published, strict=True)]
    return Row("All runs together", "", cells, runs=len(runs))


def _sum(runs: list[RunSummary], metric: str) -> Spread | None:
    """The sum as a spread without deviation; its values are the summands."""
    found = spread({run.run_id: run.value(("", metric)) for run in runs})
    return Spread(found.mean * found.n, None, found.n, found.values) if found.n else None
