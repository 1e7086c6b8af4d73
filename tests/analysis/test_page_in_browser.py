"""The page in a real browser: no errors, working selectors, no sideways scrolling."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lico.analysis.report import write_report
from lico.analysis.tables import TABLES
from tests.analysis.synthetic import write_synthetic

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium; apt-get install chromium"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("demo")
    expected = write_synthetic(folder)
    return write_report(
        folder, list(TABLES), title="The study", claim="Is it so?", expected=expected
    ).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, report: str) -> Iterator[Page]:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.extend(_foreign(request.url, report)))
    page.goto(report)
    yield page
    page.close()
    assert complaints == []


def _foreign(url: str, report: str) -> list[str]:
    """Nothing but the page itself and what is in it may be asked for."""
    return [] if url == report or url.startswith("data:") else [url]


def _first_map(page: Page) -> str:
    return page.evaluate("document.querySelector('.picture canvas').toDataURL()")


def test_the_selectors_change_the_maps(page: Page) -> None:
    shown = [_first_map(page)]
    for method in ("gradcam_pp", "layercam", "scorecam", "rise"):
        page.select_option("[data-method]", method)
        shown.append(_first_map(page))
    page.select_option("[data-seed]", "2")
    shown.append(_first_map(page))
    assert len(set(shown)) == len(shown)
    page.select_option("[data-method]", "gradcam")
    page.select_option("[data-seed]", "1")
    assert _first_map(page) == shown[0]


def test_the_gallery_has_a_picture_for_every_image_and_system(page: Page) -> None:
    assert page.locator(".pictures tbody tr").count() == 6
    assert page.locator(".pictures tbody tr").first.locator(".picture").count() == 11
    loaded = "[...document.querySelectorAll('.picture img')].every(i => i.naturalWidth === 64)"
    assert page.evaluate(loaded)


def test_enlarging_is_bilinear_between_pixel_centres(page: Page) -> None:
    """The centre of the 96-pixel canvas lies between four pixels of the 8×8 map."""
    pixel = page.evaluate(
        """() => {
          const data = JSON.parse(document.querySelector('[data-gallery] script').textContent);
          const entry = data.entries.baseline['1'].maps.gradcam;
          const raw = Uint8Array.from(atob(entry.values), (c) => c.charCodeAt(0));
          const colours = Uint8Array.from(atob(data.colours), (c) => c.charCodeAt(0));
          const at = (y, x) => raw[8 * y + x];
          const mix = (a, b, t) => a * (1 - t) + b * t;
          const t = 48.5 / 12 - 0.5 - 3;
          const level = Math.round(mix(mix(at(3, 3), at(3, 4), t), mix(at(4, 3), at(4, 4), t), t));
          const canvas = document.querySelector('.picture canvas').getContext('2d');
          const shown = [...canvas.getImageData(48, 48, 1, 1).data].slice(0, 3);
          return [shown, [...colours.slice(3 * level, 3 * level + 3)]];
        }"""
    )
    assert pixel[0] == pixel[1]


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out(page: Page, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(246, 247, 249)" if scheme == "light" else "rgb(15, 18, 22)")


def test_run_ids_lead_to_the_run(page: Page) -> None:
    table = page.locator("#table2")
    table.get_by_text("Each run's value").click()
    link = table.locator("a[href^='#run-baseline-seed1']")
    link.click()
    target = page.evaluate("document.querySelector(':target').id")
    assert target.startswith("run-baseline-seed1")


def test_hovering_a_number_names_its_runs(page: Page) -> None:
    hover = page.locator("#table2 tbody td").first.get_attribute("title")
    assert hover is not None
    assert hover.count("baseline-seed") == 3
