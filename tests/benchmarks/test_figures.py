"""Figures are kept, shown and merged; ratios are those of the rounds."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from lico.bench_command import benchmarks, listing, run_benchmarks
from lico.benchmarks.figure import Figure, Setting, load, save
from lico.benchmarks.measure import compared, in_own_process, interleaved
from lico.progress import BenchProgress

CPU = Setting(torch.device("cpu"), threads=1, rounds=3)


def figure(name: str, ratio: float = 1.5) -> Figure:
    return Figure(name, ratio, "ours", "theirs", 3.0, 2.0, spread=(1.4, 1.6))


def test_figures_are_merged_by_name(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    save([figure("b"), figure("a")], path, CPU)
    save([figure("a", 2.5)], path, CPU)
    kept = json.loads(path.read_text())["figures"]
    assert [(each["name"], each["ratio"]) for each in kept] == [("a", 2.5), ("b", 1.5)]
    for each in kept:
        assert each["against"] == "theirs"
        assert torch.__version__.startswith(each["versions"]["torch"])
        assert each["device"]
        assert each["threads"] == 1


@pytest.mark.parametrize("content", ["", "[]", '{"figures": [{}]}', '{"figures": 3}'])
def test_another_file_is_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="no file of figures"):
        save([figure("a")], path, CPU)
    assert path.read_text() == content


def test_ways_take_turns() -> None:
    calls: list[str] = []
    ways = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    seconds = interleaved(ways, CPU)
    assert calls == ["a", "b"] * 4
    assert {len(each) for each in seconds.values()} == {3}


def test_ratio_is_the_median_of_the_rounds() -> None:
    found = compared(
        "x", {"a": [2.0, 9.0, 8.0], "b": [1.0, 3.0, 2.0]}, "a", "b", ("ours", "theirs")
    )
    assert (found.ratio, found.spread) == (3, (2, 4))
    assert (found.value, found.against_value) == (8, 2)


def test_a_fresh_process_runs_the_function() -> None:
    assert in_own_process(abs, -3) == 3


def test_unknown_names_are_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"did you mean 'step'"):
        run_benchmarks(Console(), ["stepp"], tmp_path / "bench.json", CPU)


def test_every_benchmark_says_what_it_measures() -> None:
    assert "step" in benchmarks()
    assert listing().row_count == len(benchmarks())


def test_a_benchmark_leaves_its_figures_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bench.json"
    monkeypatch.setattr(
        "lico.bench_command.benchmarks", lambda: {"one": lambda _: iter([figure("one/a")])}
    )
    run_benchmarks(Console(quiet=True), [], path, CPU)
    assert [each["name"] for each in load(path)] == ["one/a"]
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_progress_counts_what_is_measured_together_and_only_then_draws() -> None:
    console = Console(force_terminal=True, file=io.StringIO(), width=100)
    with BenchProgress(console, 2) as progress:
        progress.begin("step")
        interleaved(dict.fromkeys("ab", lambda: None), replace(CPU, told=progress.update))
        progress.end()
    shown = console.file.getvalue()
    assert not progress.bars.live.auto_refresh
    assert "step prepares" in shown
    assert all(f"{count}/8" in shown for count in range(1, 9))
    assert "1/2" in shown
