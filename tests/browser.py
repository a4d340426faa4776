"""The dashboard in real Chromium, headless: `browser.py URL FAILED_DAY`, called by tests/dashboard.rs.

Team 1 has its days filled, team 2 one that failed. Everything a person does is done here: looking at all
pages light and dark, on a desktop and on a phone, by the keyboard alone, with and without scripts.
"""

import datetime
import os
import re
import shutil
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

URL, FAILED_DAY = sys.argv[1:]
DAY_AFTER = datetime.date.fromisoformat(FAILED_DAY) + datetime.timedelta(days=1)
CHROMIUM = os.environ.get("PREFILL_TEST_CHROMIUM") or shutil.which("chromium") or "chromium"
expect.set_options(timeout=30_000)


class Watched:
    """A page of a context of its own; errors of scripts and of the policy are told at the end."""

    def __init__(self, browser, **options):
        options.setdefault("viewport", {"width": 1280, "height": 800})
        self.context = browser.new_context(base_url=URL, **options)
        self.page = self.context.new_page()
        self.troubles = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.troubles.append(said.text))
        self.page.on("request", lambda asked: asked.url.startswith(URL) or self.troubles.append(asked.url))

    def __enter__(self):
        return self.page

    def __exit__(self, failed, *_):
        self.context.close()
        if not failed:
            assert not self.troubles, self.troubles


def pages(run):
    return ["/", "/teams", "/teams?state=failed", "/teams/1", "/teams/2", f"/teams/2/days/{FAILED_DAY}", "/runs", run,
            "/teams/1/validate?days=1", "/teams/1/backfill?days=1&force=1",
            f"/teams/2/cleanup?date_start={FAILED_DAY}&date_end={DAY_AFTER}"]


def backfill_by_click_with_live_progress(browser):
    with Watched(browser) as page:
        page.goto("/teams/1")
        backfill = page.locator("form", has=page.get_by_role("heading", name="Backfill"))
        backfill.get_by_label("Today and so many days before").fill("12")
        backfill.get_by_label("Fill again what is filled").check()
        backfill.get_by_role("button", name="Backfill").click()
        page.wait_for_url(re.compile("/runs/"))
        # What changes, changes in place.
        page.evaluate("window.loaded_once = true")
        expect(page.get_by_role("heading", level=1)).to_have_text("Run: completed, 13 of 13 days filled")
        assert page.evaluate("window.loaded_once"), "the page was loaded again"
        assert page.locator("#days tbody tr").count() == 13
        expect(page.locator("#said")).to_have_text(re.compile("Run: completed"))
        return page.url.removeprefix(URL)


def error_seen_and_mended(browser):
    with Watched(browser) as page:
        page.goto("/")
        failure = page.locator(".item", has_text="1 day of team 2 failed")
        expect(failure).to_contain_text("Code: 241. memory limit exceeded")
        failure.get_by_role("link", name=f"why {FAILED_DAY} failed").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{FAILED_DAY}: failed")
        expect(page.get_by_text("all 3 tries failed")).to_be_visible()
        page.go_back()
        page.evaluate("window.loaded_once = true")
        page.locator(".item", has_text="1 day of team 2 failed").get_by_role("button", name="Try again").click()
        page.wait_for_url(re.compile(r"/(\?said=retried)?$"))
        expect(page.get_by_text("What failed is tried again.")).to_be_visible()
        expect(page.locator(".item", has_text="1 day of team 2 failed")).to_have_count(0)


def another_page_sees_a_pause_without_being_loaded_again(browser):
    with Watched(browser) as watching, Watched(browser) as page:
        # The server tells it of the pause.
        with watching.expect_request("**/api/v1/events"):
            watching.goto("/")
        watching.evaluate("window.loaded_once = true")
        page.goto("/teams/1")
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(watching.locator("#pauses")).to_contain_text("team 1 is paused")
        page.get_by_role("button", name="Resume", exact=True).click()
        expect(watching.locator("#pauses")).to_contain_text("No team is paused")
        assert watching.evaluate("window.loaded_once"), "the page was loaded again"


def keyboard_alone(browser):
    with Watched(browser) as page:
        page.goto("/teams")
        focused = lambda: page.evaluate("document.activeElement.textContent.trim()")
        page.keyboard.press("Tab")
        assert focused() == "Skip to the content", focused()
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", outline
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('[data-grid]') !== null"):
                break
        assert focused() == "1 Team 1", focused()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        address = page.evaluate("document.activeElement.getAttribute('href')")
        assert re.fullmatch(r"/teams/2/days/\d{4}-\d\d-\d\d", address), address
        # It stays there while the page is kept fresh.
        page.wait_for_timeout(6_000)
        assert page.evaluate("document.activeElement.getAttribute('href')") == address
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(address))
        # A backfill without a mouse.
        page.goto("/teams/1")
        page.locator("#backfill-days").focus()
        page.keyboard.type("1")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("/runs/"))


def without_a_script(browser):
    with Watched(browser, java_script_enabled=False) as page:
        page.goto("/teams/1")
        page.locator("#backfill-days").fill("2")
        page.locator("#backfill-force").check()
        page.get_by_role("button", name="What would it do?").click()
        page.get_by_role("button", name="Fill 3 days").click()
        page.wait_for_url(re.compile("/runs/"))
        page.goto("/teams/1")
        page.get_by_text("Turn the setting off…").click()
        expect(page.get_by_role("button", name="Turn it off")).to_be_visible()


def every_page_fits_and_is_for_everybody(browser, run):
    for scheme, width in [("light", 1280), ("dark", 360)]:
        with Watched(browser, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
            for path in pages(run):
                assert page.goto(path).status == 200, path
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{path} is {wide} wide of {width}"
                ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
                is_dark = sum(map(int, re.findall(r"\d+", ground)[:3])) < 200
                assert is_dark == (scheme == "dark"), (path, ground)
                found = Axe().run(page)
                assert found.violations_count == 0, f"{path}, {scheme}, {width}: {found.generate_report()}"


def main():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        run = backfill_by_click_with_live_progress(browser)
        every_page_fits_and_is_for_everybody(browser, run)
        error_seen_and_mended(browser)
        another_page_sees_a_pause_without_being_loaded_again(browser)
        keyboard_alone(browser)
        without_a_script(browser)
        browser.close()
    print("all well")


main()
