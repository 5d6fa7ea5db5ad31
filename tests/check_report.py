"""Open in a browser what `smoothing report` left behind: every page, picture and link, with no network.

.venv/bin/python tests/check_report.py small rehearsal
"""

import sys
import tempfile
from pathlib import Path

from browsing import BROWSERS, alone, check_content, check_pages, opened, program
from playwright.sync_api import sync_playwright

from adaptive_smoothing.pipeline import plan


def main() -> int:
    """Check the report of each scale that is named; return 1 if there is no browser."""
    browser = program()
    if browser is None:
        print(f"error: opening the report needs a browser: {', '.join(BROWSERS)}", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for scale in sys.argv[1:]:
            figures = list(plan.load(scale).all_figures)
            folder = Path(f"results/{scale}")
            with tempfile.TemporaryDirectory() as temporary:
                check_pages(opened(started, alone(folder / "report.html", Path(temporary, "report"))), figures)
                page = opened(started, alone(folder / "index.html", Path(temporary, "index")))
                check_content(page.page)
                page.check()
            print(f"{folder}/report.html and index.html: {len(figures)} figures, every page, picture and link is whole")
        started.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
