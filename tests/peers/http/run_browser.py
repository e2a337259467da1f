"""Uses the page in Chromium, light and dark, wide and narrow; prints what it showed and requested as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

ARGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]


def use_page(browser: Browser, job: dict[str, Any], scheme: str, width: int) -> dict[str, Any]:
    """Classifies with the keyboard and explains with the mouse."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{job['url']}/ui")
    page.wait_for_function("document.getElementById('model').textContent.includes('labels')")
    page.focus("#text")
    page.keyboard.type(job["text"])
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#result:not([hidden])")
    labels = page.inner_text("#labels")
    rows = [row.split("\n") for row in page.locator(".score").all_inner_texts()]
    page.click("#explain")
    page.wait_for_selector("#explanation:not([hidden])")
    page.screenshot(path=str(Path(job["folder"]) / f"ui-{scheme}-{width}.png"), full_page=True)
    overflow = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    words = page.inner_text("#words")
    strongest = page.locator("mark.for-4, mark.against-4").all_inner_texts()
    page.fill("#text", "")
    page.click("#classify")
    page.wait_for_selector("#error:not([hidden])")
    error = page.inner_text("#error")
    context.close()
    return {
        "labels": labels,
        "rows": rows,
        "words": words,
        "strongest": strongest,
        "error": error,
        "problems": problems,
        "requests": requests,
        "overflow": overflow,
    }


def violations(browser: Browser, job: dict[str, Any], scheme: str) -> list[str]:
    """Returns what axe finds on both pages; axe itself needs the page's security policy to be off."""
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    found = []
    for path in "ui", "docs":
        page.goto(f"{job['url']}/{path}")
        if path == "ui":
            page.fill("#text", job["text"])
            page.click("#explain")
            page.wait_for_selector("#explanation:not([hidden])")
        found += [f"{path}: {item['id']}" for item in Axe().run(page).response["violations"]]
    context.close()
    return found


def main() -> None:
    """Runs the job on standard input."""
    job = json.loads(sys.stdin.read())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=job["chromium"], args=ARGS)
        pages = [use_page(browser, job, scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]
        found = [violations(browser, job, scheme) for scheme in ("light", "dark")]
        browser.close()
    print(json.dumps({"pages": pages, "violations": found}))


main()
