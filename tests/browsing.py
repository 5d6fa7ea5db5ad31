"""A report in a real browser, from a folder of its own, without network: every page, picture and link of it."""

import base64
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

from playwright.sync_api import Browser, Frame, Locator, Page

from adaptive_smoothing.core import paths

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PICTURES = ("Figures", "Beyond the paper")  # categories that hold a page a figure
FILES = ("Figure files", "Text files")  # categories that hold files, not pages
OUTSIDE = "https://arxiv.org/abs/2502.07273"  # the one address that is not in the file
BROKEN = (
    "[...document.images].filter(image => !(image.complete && image.naturalWidth > 0 && image.offsetWidth > 0)).length"
)
LINKS = "[...document.querySelectorAll('a[href]')].map(link => link.getAttribute('href'))"


def program() -> str | None:
    """Return the machine's browser, None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@dataclass
class Opened:
    """A file in the browser, and what went wrong: errors in the console, requests that leave the file."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    def check(self) -> None:
        assert self.wrong == []
        assert self.page.evaluate("window.performance.getEntriesByType('resource').length") == 0


def opened(browser: Browser, file: Path) -> Opened:
    """Open a file, with no network and nothing beside it."""
    context = browser.new_context(offline=True, viewport={"width": 1400, "height": 1000})
    found = Opened(context.new_page())
    page = found.page
    page.on("console", lambda message: message.type == "error" and found.wrong.append(message.text))
    page.on("pageerror", lambda error: found.wrong.append(str(error)))
    own = file.as_uri()
    page.on("request", lambda request: request.url.startswith((own, "data:")) or found.wrong.append(request.url))
    page.goto(own)
    return found


def alone(file: Path, folder: Path) -> Path:
    """Return a copy of a file in an empty folder."""
    folder.mkdir()
    return Path(shutil.copy(file, folder / "report.html"))


def check_content(frame: Page | Frame) -> list[bytes]:
    """Every picture is visible and every link leads somewhere; return the files that lie in the page."""
    frame.wait_for_load_state()
    assert frame.evaluate(BROKEN) == 0
    files = []
    for link in frame.evaluate(LINKS):
        if link.startswith("#"):
            assert frame.evaluate("name => document.getElementById(name) !== null", link[1:]), link
        elif link.startswith("data:"):
            files.append(content(link))
        else:
            assert link == OUTSIDE
    return files


def content(address: str) -> bytes:
    """Return what lies in a data: address."""
    kind, data = address.split(",", 1)
    return base64.b64decode(data) if kind.endswith(";base64") else unquote_to_bytes(data)


class Viewer:
    """Snakemake's report, by clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def categories(self) -> list[str]:
        return [text for text in self.menu().all_inner_texts() if text not in ("Workflow", "Statistics", "About")]

    def menu(self) -> Locator:
        return self.page.locator("ul >> a")

    def open(self, category: str) -> None:
        """Go back to the menu, then into a category."""
        self.page.reload()
        self.menu().get_by_text(category, exact=True).click()

    def rows(self) -> Locator:
        return self.page.locator("tbody tr")

    def show(self, row: int) -> None:
        """Click a row's eye."""
        self.rows().nth(row).locator("a").first.click()

    def frame(self) -> Frame:
        """Return the page that is shown."""
        element = self.page.locator("iframe").element_handle()
        frame = element.content_frame()
        assert frame is not None
        frame.wait_for_url(re.compile("^data:text/html"))  # about:blank#blocked, where the browser refuses the page
        return frame


def check_pages(report: Opened, figures: list[str]) -> None:
    """Open every page of Snakemake's report by clicks; check that each is whole, and that each figure has one."""
    viewer = Viewer(report.page)
    shown = []
    for category in viewer.categories():
        viewer.open(category)
        for row in range(viewer.rows().count() if category not in FILES else 0):
            viewer.show(row)
            frame = viewer.frame()
            files = check_content(frame)
            if category in PICTURES:
                shown.append(frame.locator("h1").inner_text().split(":")[0])
                assert frame.locator("main p > img").count() == 1
                assert files[0].startswith(b"%PDF"), shown[-1]
    assert sorted(shown) == sorted(paths.number(figure) for figure in figures)
    report.check()
