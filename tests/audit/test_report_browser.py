"""The report in a real browser: quiet, self-contained, and readable on a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from levelhead.audit.report import write_report

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
VIEWS = [("two", width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]
VIEWS += [("one", 390, "light"), ("one", 1280, "dark"), ("undefined", 390, "light")]
WIDEST = """() => [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
        && !e.closest('.scroll, .hidden, thead, svg'))
    .map(e => e.outerHTML.slice(0, 120)).slice(0, 5)"""
BOXES = """() => [...document.querySelectorAll('svg.chart')].map(chart => {
    const box = chart.getBoundingClientRect();
    return { visible: chart.checkVisibility({ opacityProperty: true, visibilityProperty: true }),
        width: box.width, height: box.height, right: box.right } })"""
CLIPPED = """() => [...document.querySelectorAll('svg.chart text')]
    .filter(t => { const a = t.getBoundingClientRect(),
        b = t.ownerSVGElement.getBoundingClientRect();
        return a.left < b.left - 2 || a.right > b.right + 2 || a.bottom > b.bottom + 2 })
    .map(t => t.textContent)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if path is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(factory: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    results = {
        "two": factory.two_models(),
        "one": factory.one_model(),
        "undefined": factory.undefined(),
    }
    for name, result in results.items():
        write_report(result, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in results}


class Visit:
    """One page load and everything that it did."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str) -> None:
        self.console: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", self._dialog)
        self.page.goto(path.as_uri(), wait_until="load")

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def visit(browser: Any, files: dict[str, Path]) -> Iterator[Any]:
    open_visits: list[Visit] = []

    def go(name: str, width: int = 390, scheme: str = "light") -> Visit:
        open_visits.append(Visit(browser, files[name], width, scheme))
        return open_visits[-1]

    yield go
    for one in open_visits:
        one.close()


@pytest.mark.parametrize(("name", "width", "scheme"), VIEWS)
def test_it_is_quiet_complete_and_fits(
    visit: Any, files: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    seen = visit(name, width, scheme)
    page = seen.page
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(WIDEST) == []
    assert page.evaluate(CLIPPED) == []
    boxes = page.evaluate(BOXES)
    assert len(boxes) == (6 if name == "two" else 4)
    for box in boxes:
        assert box["visible"]
        assert box["width"] >= 250
        assert box["height"] >= 150
        assert box["right"] <= width
    assert (seen.console, seen.errors, seen.dialogs) == ([], [], [])
    assert seen.requests == [files[name].as_uri()]


def test_text_in_the_charts_can_be_read_on_a_phone(visit: Any) -> None:
    page = visit("two", 390).page
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('svg.chart text')].map(t =>
        parseFloat(getComputedStyle(t).fontSize)
            * t.ownerSVGElement.getBoundingClientRect().width
            / t.ownerSVGElement.viewBox.baseVal.width)"""
    )
    assert len(sizes) > 50
    assert min(sizes) >= 8.5


def test_dark_pages_are_dark_and_their_charts_follow(visit: Any) -> None:
    colors = {}
    for scheme in ("light", "dark"):
        page = visit("two", 1280, scheme).page
        colors[scheme] = page.evaluate(
            """() => [getComputedStyle(document.body).backgroundColor,
            getComputedStyle(document.querySelector('svg.chart text')).fill,
            getComputedStyle(document.querySelector('#risk svg.chart text')).fill]"""
        )
    for light, dark in zip(colors["light"], colors["dark"], strict=True):
        assert light != dark
    brightness = [sum(map(int, c[4:-1].split(","))) for c in colors["dark"]]
    assert brightness[0] < 100 < 400 < min(brightness[1:])


def test_print_is_light_and_unclipped(visit: Any) -> None:
    page = visit("two", 1000, "dark").page
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    assert page.pdf()[:5] == b"%PDF-"


def test_explanations_open_without_scripts_and_by_keyboard(visit: Any) -> None:
    page = visit("two", 390).page
    summary = page.query_selector("details.ask > summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.query_selector("details.ask[open] p").is_visible()


def test_hostile_texts_are_shown_as_text(visit: Any, factory: ModuleType) -> None:
    page = visit("two", 1280).page
    body = page.evaluate("document.body.textContent")
    for text in (*factory.BREAKOUTS, factory.UNBROKEN, factory.EMOJI):
        assert text in body
    assert page.evaluate("document.scripts.length") == 0
    assert page.evaluate("document.images.length") == 0
