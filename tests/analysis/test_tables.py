"""Tables: published numbers are those of the file, measured ones those of the runs."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from lico.analysis import numbers
from lico.analysis.collect import Study, collect
from lico.analysis.measures import MEASURES
from lico.analysis.paper import Published, paper
from lico.analysis.statistics import spread
from lico.analysis.table import Cell, Table
from lico.analysis.table_files import to_csv, to_markdown, write_tables
from lico.analysis.tables import TABLES, build_tables
from lico.results.writer import write_run
from tests.analysis.synthetic import config_of, record_of, write_synthetic

PUBLISHED: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "lico" / "analysis" / "paper_tables.yaml").read_text()
)
SECTIONS = {
    "table2": "table2_insertion_deletion",
    "table3": "table3_cifar100",
    "table4": "table4_loss_ablation",
    "table5": "table5_prompt_variants",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    return collect(folder, write_synthetic(folder))


def build(study: Study, name: str) -> Table:
    return build_tables(study, [name])[0]


def cell(table: Table, system: str, metric: str) -> Cell:
    row = next(row for row in table.rows if row.system == system)
    return row.cells[[column.key for column in table.columns].index(metric)]


@pytest.mark.parametrize("name", SECTIONS)
def test_published_numbers_are_those_of_the_file(study: Study, name: str) -> None:
    table = build(study, name)
    section = PUBLISHED[SECTIONS[name]]
    assert {row.system for row in table.rows} == set(section)
    for row in table.rows:
        assert {column.key for column in table.columns} == set(section[row.system])
        for column, each in zip(table.columns, row.cells, strict=True):
            mean, *std = section[row.system][column.key]
            assert each.published == Published(mean, std[0] if std else None)


def test_published_costs_and_appendices(study: Study) -> None:
    deletion = PUBLISHED["appendix_a_adversarial"]["deletion"]
    adversarial = build(study, "appendix_a")
    assert [row.system for row in adversarial.rows] == ["adversarial"]
    assert cell(adversarial, "adversarial", "deletion").published == Published(
        deletion["all_classes"]
    )
    assert cell(adversarial, "adversarial", "deletion_marked").published == Published(
        deletion["marked_class"]
    )
    environment = PUBLISHED["appendix_d_environment"]
    total = build(study, "appendix_d").rows[-1].cells
    assert [each.published.mean for each in total if each.published] == [
        environment["seconds_per_run"] * environment["runs"],
        1000 * environment["kwh"],
        1000 * environment["kg_co2"],
        environment["grams_co2_per_kwh"],
    ]


def test_energy_is_summed_over_the_runs_that_have_it(study: Study) -> None:
    energies = [run.cost.energy_kwh for run in study.runs]
    literal = sum(1000 * value for value in energies if not math.isnan(value))
    measured = build(study, "appendix_d").rows[-1].cells[1].measured
    assert measured is not None
    assert measured.mean == pytest.approx(literal)
    assert (measured.n, measured.std) == (27, None)


def test_time_ratios_of_the_paper() -> None:
    timing = PUBLISHED["table1_seconds_per_epoch"]
    one = paper().time_ratio("cifar100_batch64", "resnet50", "lico")
    assert one is not None
    assert one.mean == (
        timing["cifar100_batch64"]["lico"][1] / timing["cifar100_batch64"]["baseline"][1]
    )
    other = paper().time_ratio("scenes_batch32", "small_resnet", "lico")
    assert other is not None
    assert (other.mean, other.high) == (102 / 43, 98 / 23)
    assert paper().time_ratio("imagenet_s50_batch128", "resnet50", "lico") is None
    bound = paper().memory_gb("imagenet_s50_batch128", "resnet50", "lico")
    assert bound == Published(24.0, bound=">")


def test_table1_takes_ratios_seed_by_seed(study: Study) -> None:
    ratio = cell(build(study, "table1"), "lico", "time_ratio").measured
    assert ratio is not None
    for run in study.of("lico"):
        base = next(r for r in study.of("baseline") if r.config.seed == run.config.seed)
        assert ratio.values[run.run_id] == run.cost.seconds_per_epoch / base.cost.seconds_per_epoch


def test_a_study_with_more_axes_has_rows_for_each_place(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    expected = [
        config_of(
            system,
            1,
            axes={"system": system, "setting": "s50", "model": model, "seed": "1"},
            data={"name": "imagenet_s50"},
            model={"name": model},
            training={"batch_size": 64},
        )
        for system in ("baseline", "lico", "cgc")
        for model in ("resnet18", "resnet50")
    ]
    for config in expected[:3]:
        write_run(record_of(config), tmp_path / "runs" / f"{config.run_id()}.h5")
    table = build(collect(tmp_path, expected), "table1")
    assert [(row.system, row.place[1], row.missing) for row in table.rows] == [
        ("baseline", "resnet18", None),
        ("lico", "resnet18", None),
        ("cgc", "resnet18", "0 of 1 runs"),
        ("baseline", "resnet50", None),
        ("lico", "resnet50", "0 of 1 runs"),
        ("cgc", "resnet50", "0 of 1 runs"),
    ]
    assert table.rows[4].cells[0].published == Published(223.0)


@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_the_csv_reads_back_exactly(study: Study, name: str) -> None:
    table = build(study, name)
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    found = {
        (line["system"], line["saliency"], line["metric"], line["statistic"], line["runs"]): line
        for line in lines
    }
    for row in table.rows:
        for column, each in zip(table.columns, row.cells, strict=True):
            saliency = row.saliency if column.saliency else ""
            start = (row.system or "all", saliency, column.key)
            assert each.measured is None or each.measured.values.keys() <= {
                line["runs"] for line in lines
            }
            for run_id, value in each.measured.values.items() if each.measured else ():
                again = float(found[*start, "value", run_id]["value"])
                assert again == value or (math.isnan(again) and math.isnan(value))
            if each.measured and each.measured.std is not None:
                runs = " ".join(each.measured.values)
                assert float(found[*start, "std", runs]["value"]) == each.measured.std
            if each.published:
                assert float(found[*start, "paper", ""]["value"]) == each.published.mean


def test_missing_systems_stay_in_the_table(tmp_path: Path) -> None:
    configs = write_synthetic(tmp_path, ["baseline", "mm"], seeds=2)
    expected = [*configs, *(config_of("lico", seed) for seed in (1, 2, 3))]
    table = build(collect(tmp_path, expected), "table2")
    assert [(row.system, row.missing) for row in table.rows] == [
        ("baseline", None),
        ("mm", None),
        ("ot", "not part of this study"),
        ("lico", "0 of 3 runs"),
    ]
    assert build(collect(tmp_path), "table2").rows[3].missing == "no run"
    assert "| + MM & OT (LICO) | 0 of 3 runs | – | .706 ± .012 |" in to_markdown(table)
    assert "missing,,0,,0 of 3 runs" in to_csv(table)


def test_a_missing_seed_is_shown_by_n(tmp_path: Path) -> None:
    configs = write_synthetic(tmp_path, ["baseline", "lico"], seeds=3)
    (tmp_path / "runs" / f"{configs[-1].run_id()}.h5").unlink()
    text = to_markdown(build(collect(tmp_path, configs), "table2"))
    line = next(line for line in text.splitlines() if "(LICO) | 2" in line)
    assert line.count("(n = 2)") == 3


def test_one_seed_has_no_deviation_and_no_verdict(tmp_path: Path) -> None:
    write_synthetic(tmp_path, ["baseline", "lico"], seeds=1)
    table = build(collect(tmp_path), "table2")
    measured = cell(table, "lico", "insertion")
    assert measured.measured is not None
    shown = numbers.measured(measured.measured, MEASURES["insertion"], 1)
    assert "±" not in shown
    assert measured.verdict in {"same sign, one seed", "opposite sign, one seed"}
    assert any("One seed" in note for note in table.notes)


def test_other_data_is_said_to_be_other_data(study: Study) -> None:
    for name in ("table2", "table3", "table4", "table5", "saliency_methods"):
        assert "direction only" in " ".join(build(study, name).caption)


def test_every_table_is_written(study: Study, tmp_path: Path) -> None:
    write_tables(build_tables(study, list(TABLES)), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * len(TABLES)


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.727, 3, ".727"),
        (-0.0214, 3, "−.021"),
        (-0.0001, 3, ".000"),
        (1.0, 2, "1.00"),
        (10000.0, 2, "10,000"),
        (math.nan, 3, "–"),
        (-math.inf, 3, "−∞"),
    ],
)
def test_number_format(value: float, decimals: int, text: str) -> None:
    assert numbers.plain(value, decimals) == text


def test_a_cell_in_words() -> None:
    three = spread({"a": 0.724, "b": 0.727, "c": 0.730})
    assert numbers.measured(three, MEASURES["insertion"], 3) == ".727 ± .003"
    assert numbers.measured(three, MEASURES["insertion"], 4) == ".727 ± .003 (n = 3)"
    ones = spread({"a": 1.0, "b": 0.0})
    assert numbers.measured(ones, MEASURES["temperature_at_clamp"], 2) == "1 of 2 runs"
    ratio = Published(2.37, high=4.26)
    assert numbers.published(ratio, MEASURES["time_ratio"]) == "2.37 to 4.26 ×"
