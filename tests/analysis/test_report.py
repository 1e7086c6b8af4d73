"""The page is one file, says what is missing, and is right about the claims."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from lico.analysis.claims import judge
from lico.analysis.collect import collect
from lico.analysis.gallery import outline
from lico.analysis.report import write_report
from lico.analysis.tables import TABLES
from lico.results.format import RunRecord
from lico.results.writer import write_run
from tests.analysis.synthetic import config_of, record_of, with_scores, write_synthetic

SYSTEMS = ["baseline", "mm", "ot", "lico"]
MEGABYTE = 2**20


class Page(HTMLParser):
    """References, ids and text of a page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        names = ("src", "href", "xlink:href", "data", "poster", "srcset", "action")
        self.references += [values[name] for name in names if name in values]
        if "id" in values:
            self.ids.append(values["id"])
        if tag not in {"meta", "link", "input", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(folder: Path, **options: object) -> str:
    path = write_report(folder, list(TABLES), title="A study", claim="Is it so?", **options)  # pyright: ignore[reportArgumentType]
    assert path == folder / "report.html"
    return path.read_text()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("demo")
    return page_of(folder, expected=write_synthetic(folder))


def test_the_page_needs_nothing_else(content: str) -> None:
    page = Page(content)
    assert page.open == []
    for reference in page.references:
        assert reference.startswith(("#", "data:"))
    assert not re.search(r"@import|url\((?!#)", content)
    assert "fetch(" not in content
    assert len(content) < 8 * MEGABYTE


def test_links_within_the_page_have_a_target_and_ids_are_unique(content: str) -> None:
    page = Page(content)
    targets = {reference[1:] for reference in page.references if reference.startswith("#")}
    assert targets <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_every_section_is_there(content: str) -> None:
    page = Page(content)
    for name in ("verdicts", *TABLES, "curves", "gallery", "undefined", "provenance"):
        assert name in page.ids
    assert "78 + 3 infinite of 120" in content
    assert "0123456789ab" in content
    assert "clamp: log 100" in content


def test_missing_broken_and_left_out_runs_are_at_the_top(tmp_path: Path) -> None:
    configs = write_synthetic(tmp_path, ["baseline", "lico"], seeds=2)
    broken = tmp_path / "runs" / f"{configs[0].run_id()}.h5"
    broken.write_bytes(b"")
    foreign = config_of("lico", 1, training={"epochs": 3})
    write_run(record_of(foreign), tmp_path / "runs" / f"{foreign.run_id()}.h5")
    content = page_of(tmp_path, expected=configs)
    top = content[: content.index('id="verdicts"')]
    assert f"<code>{configs[0].run_id()}</code>" in top
    assert f"<code>{broken.name}</code> is empty" in top
    assert f"<code>{foreign.run_id()}</code>" in top


def test_a_study_without_a_run_and_one_of_one_run(tmp_path: Path) -> None:
    assert "No data yet" in page_of(tmp_path, expected=[config_of("lico", 1)])
    write_synthetic(tmp_path, ["lico"], seeds=1)
    content = page_of(tmp_path)
    assert "No data yet" in content
    assert Page(content).open == []


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    record = record_of(config_of("baseline", 1))
    evil = "</script><script>alert(1)</script>"
    record = replace(record, class_names=[evil, *record.class_names[1:]])
    record = replace(record, provenance=record.provenance | {"command": evil})
    write_run(record, tmp_path / "runs" / f"{record.config.run_id()}.h5")
    assert "<script>alert" not in page_of(tmp_path)


def _study_with_sch(folder: Path, change: float) -> None:
    """LICO's SCH is the baseline's plus `change`, all else equal."""
    (folder / "runs").mkdir()
    for seed in (1, 2, 3):
        base = record_of(config_of("baseline", seed))
        sch = base.evaluation.saliency["gradcam"].scores["sch"]
        lico = replace(base, config=config_of("lico", seed))
        for record in (base, _shifted(lico, sch + change + 0.001 * seed)):
            write_run(record, folder / "runs" / f"{record.config.run_id()}.h5")


def _shifted(record: RunRecord, sch: np.ndarray) -> RunRecord:
    return with_scores(record, "gradcam", sch=sch)


@pytest.mark.parametrize(
    ("change", "headline"),
    [(0.1, "Some support"), (-0.1, "Evidence against"), (-0.002, "Undecided: within noise")],
)
def test_a_claim_is_judged_beyond_noise_only(tmp_path: Path, change: float, headline: str) -> None:
    _study_with_sch(tmp_path, change)
    first, second, third = judge(collect(tmp_path))
    assert first.headline == headline
    assert second.headline == "Undecided: within noise"
    assert third.headline == "No data yet"
    assert len(first.findings) == 7


def test_an_outline_goes_around_the_object() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:4] = True
    assert outline(mask) == "M2 1h2M2 3h2M2 1v2M4 1v2"
    assert outline(np.ones((2, 3), bool)) == "M0 0h3M0 2h3M0 0v2M3 0v2"
    assert outline(np.zeros((2, 3), bool)) == ""
