#!/usr/bin/env python3
"""Clicks through the page of the query service in a headless Chromium.

    tests/page/check.py URL [--key KEY | --open] [--axe axe.min.js] [--shots FOLDER]

URL answers for `hitters run flights --serve`, whose numbers stand below as they follow from
data/flights.ndjson.gz. With --key the service must ask for it; with --open it answers for a run that goes on. Needs chromedriver and nothing but Python's own library: it speaks
WebDriver by hand.
"""

import argparse
import base64
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

PIPELINE = "flights.destinations"
# From an independent count of the file: departures from JFK, 25 to 31 December 2013.
FIRST = [("LAX", "204"), ("SFO", "155"), ("SJU", "116"), ("MCO", "113"), ("BOS", "107")]
TOTAL = "2,115"
# When BOS overtook in the running total of that week.
OVERTOOK = ("30 Dec", "passed", "FLL", "93 : 92")
PATIENCE = 20.0


class Fault(Exception):
    """Something on the page is not as it should be."""


class Browser:
    """A session of chromedriver."""

    def __init__(self, dark: bool = False, phone: bool = False):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{port}"
        arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"]
        arguments += ["--window-size=390,844" if phone else "--window-size=1360,940"]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        until = time.monotonic() + PATIENCE
        while True:
            try:
                made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                break
            except (ConnectionError, urllib.error.URLError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        self.session = f"/session/{made['sessionId']}"
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.cdp("Emulation.setEmulatedMedia", {"features": features})
        size = (390, 844, 2) if phone else (1360, 900, 1)
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": size[2], "mobile": phone}
        self.cdp("Emulation.setDeviceMetricsOverride", metrics)
        # Times of the shop are local ones: everywhere the same here.
        self.cdp("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})

    def call(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise Fault(f"{method} {path}: {json.load(error)['value']['message']}") from None

    def cdp(self, command: str, parameters: dict):
        return self.call("POST", f"{self.session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, url: str) -> None:
        self.call("POST", f"{self.session}/url", {"url": url})

    def run(self, script: str, *arguments):
        return self.call("POST", f"{self.session}/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector: str) -> str:
        found = self.call("POST", f"{self.session}/element", {"using": "css selector", "value": selector})
        return next(iter(found.values()))

    def click(self, selector: str) -> None:
        self.call("POST", f"{self.session}/element/{self.find(selector)}/click", {})

    def write(self, selector: str, text: str) -> None:
        self.call("POST", f"{self.session}/element/{self.find(selector)}/value", {"text": text})

    def press(self, key: str) -> None:
        """A key for whatever has the focus."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.call("POST", f"{self.session}/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def choose(self, selector: str, text: str) -> None:
        """An option of a select by its text."""
        script = """
            const select = document.querySelector(arguments[0]);
            const option = [...select.options].find((option) => option.text === arguments[1]);
            if (!option) throw new Error(`no option ${arguments[1]} among ${[...select.options].map((option) => option.text)}`);
            select.value = option.value;
            select.dispatchEvent(new Event("change", { bubbles: true }));"""
        self.run(script, selector, text)

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def wait(self, what: str, script: str, *arguments):
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(Fault):
                if found := self.run(script, *arguments):
                    return found
            if time.monotonic() > until:
                raise Fault(f"after {PATIENCE:.0f} s there is still not {what}; the page says:\n{self.text('body')[:1500]}")
            time.sleep(0.05)

    def titled(self, start: str) -> None:
        self.wait(f"the title '{start}'", "return document.querySelector('#title').innerText.startsWith(arguments[0])", start)

    def shot(self, path: Path) -> None:
        # The heading and what follows it, after everything has come and moved to its place.
        time.sleep(0.8)
        path.write_bytes(base64.b64decode(self.call("GET", f"{self.session}/screenshot")))

    def log(self, kind: str):
        return self.call("POST", f"{self.session}/se/log", {"type": kind})

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.call("DELETE", self.session)
        self.driver.kill()
        self.driver.wait()


def same(what: str, found, wanted) -> None:
    if found != wanted:
        raise Fault(f"{what} is {found!r}, not {wanted!r}")


def contains(what: str, text: str, *parts: str) -> None:
    for part in parts:
        if part not in text:
            raise Fault(f"{what} lacks {part!r}: {text!r}")


def quiet(browser: Browser, url: str, failing: bool = False) -> None:
    """Nothing was complained about, and nothing came from elsewhere."""
    faults = [entry["message"] for entry in browser.log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    # Chromium itself notes answers of 401 and 404 there, which the page was made to ask for.
    same("the console", [fault for fault in faults if not (failing and "status of 40" in fault)], [])
    home = urlsplit(url).netloc
    for entry in browser.log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked = urlsplit(message["params"]["request"]["url"])
            if asked.scheme in ("http", "https", "ws", "wss") and asked.netloc != home:
                raise Fault(f"the page asked another host: {asked.geturl()}")


def accessible(browser: Browser, axe: str | None, where: str) -> None:
    if axe is None:
        return
    browser.run(axe + "; window.axe = axe;")
    script = """
        const done = arguments[arguments.length - 1];
        axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"] })
            .then((found) => done(found.violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html).slice(0, 3)}`)))
            .catch((error) => done([String(error)]));"""
    found = browser.call("POST", f"{browser.session}/execute/async", {"script": script, "args": []})
    same(f"what axe says of {where}", found, [])


def fits(browser: Browser, where: str) -> None:
    wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    same(f"what {where} is too wide by", max(0, wide), 0)


def rows(browser: Browser) -> list:
    return browser.run("return [...document.querySelectorAll('.ranking li')].map((row) => [row.querySelector('.name').innerText, row.querySelector('.count').innerText])")


def week(browser: Browser, url: str, shots: Path | None, axe: str | None) -> None:
    """The top 20 destinations from JFK last week, and when did BOS overtake: by clicks alone."""
    browser.open(url)
    browser.titled("Top")
    browser.choose("#pipeline", PIPELINE)
    browser.wait("the airports", "return [...document.querySelectorAll('#dimensions option')].some((option) => option.text === 'JFK')")
    browser.choose("#dimensions select", "JFK")
    browser.titled("Top 10, origin JFK")
    browser.run("[...document.querySelectorAll('#ranges button')].find((button) => button.innerText === 'Week').click()")
    browser.choose("#k", "20")
    browser.titled("Top 20, origin JFK")
    browser.wait("twenty rows of the week", "return document.querySelectorAll('.ranking li').length === 20 && document.querySelector('#title').innerText.includes('25 – 31 Dec 2013')")
    same("the first rows", [tuple(row) for row in rows(browser)[:5]], FIRST)
    contains("what is said of it", browser.text("#facts"), f"{TOTAL} in total", "every count is exact")
    browser.wait("the chart", "return document.querySelector('.plot canvas')?.width > 300")
    browser.wait("how places changed", "return document.querySelectorAll('.delta.up, .delta.down').length > 0")
    accessible(browser, axe, "the ranking")
    browser.click("li[data-item=BOS] button")
    browser.wait("the overtakes of BOS", "return document.querySelectorAll('.overtakes > ol li').length > 0")
    overtakes = " ".join(browser.run("return [...document.querySelectorAll('.overtakes > ol li')].map((row) => row.innerText.replaceAll(/\\s+/g, ' '))"))
    contains("when BOS overtook", overtakes, *OVERTOOK)
    accessible(browser, axe, "an item")
    if shots:
        browser.shot(shots / "page-item.png")
    browser.run("[...document.querySelectorAll('.segments.small button')].find((button) => button.innerText === 'Place').click()")
    browser.wait("the choice in the address", "return location.search.includes('chart=rank') && location.search.includes('item=BOS')")
    address = browser.run("return location.href")
    browser.open(address)
    browser.titled("Top 20, origin JFK")
    browser.wait("the same item after loading the address", "return document.querySelector('.item h2')?.innerText === 'BOS'")
    browser.press("\ue00c")
    browser.wait("all items again after Escape", "return document.querySelector('.panel.item').hidden && !location.search.includes('item=')")


def keyboard(browser: Browser, shots: Path | None, axe: str | None) -> None:
    browser.run("document.activeElement.blur()")
    browser.press("\ue015")
    browser.press("\ue015")
    same("the item with the focus", browser.run("return document.activeElement.closest('li')?.dataset.item"), FIRST[1][0])
    browser.press("\ue007")
    browser.wait("the item that Enter opened", "return document.querySelector('.item h2')?.innerText === arguments[0]", FIRST[1][0])
    browser.press("2")
    browser.titled("What changed, origin JFK")
    browser.wait("the changes", "return document.querySelectorAll('table.compare tbody tr').length >= 20")
    accessible(browser, axe, "the comparison")
    if shots:
        browser.shot(shots / "page-compare.png")
    browser.press("3")
    browser.titled("Groups by origin")
    browser.wait("the group of JFK", "return document.querySelector('table.groups tbody').innerText.includes('JFK')")
    accessible(browser, axe, "the groups")
    browser.press("1")
    browser.titled("Top 20, origin JFK")
    browser.press("/")
    browser.write("#lookup", "HNL\ue007")
    browser.wait("an item that was looked up", "return document.querySelector('.item h2')?.innerText === 'HNL' && /\\d/.test(document.querySelector('.numbers dd').innerText)")
    browser.press("?")
    browser.wait("the help", "return document.querySelector('#help').open")
    browser.press("\ue00c")
    browser.wait("the end of the help", "return !document.querySelector('#help').open")


def wrong(browser: Browser, url: str) -> None:
    browser.open(f"{url}?pipeline=nowhere")
    browser.wait("what is there instead", "return document.querySelector('[role=alert]')?.innerText.includes('flights')")
    browser.open(f"{url}?pipeline={PIPELINE}&from=1999-01-01&to=1999-01-02")
    browser.wait("that nothing is known", "return document.querySelector('.blank')?.innerText.includes('Nothing')")


def key(browser: Browser, url: str, secret: str) -> None:
    browser.open(url)
    browser.wait("the question for a key", "return document.querySelector('#key-dialog').open")
    browser.write("#key", "hk_wrong\ue007")
    browser.wait("the refusal of a wrong key", "return document.querySelector('#key-dialog').open && document.querySelector('#key-why').innerText.includes('not accepted')")
    browser.write("#key", f"{secret}\ue007")
    browser.titled("Top")
    same("keys in the address", secret in browser.run("return location.href"), False)


def still_open(browser: Browser, url: str, shots: Path | None, axe: str | None) -> None:
    """The window that is still open: shown as that, and growing."""
    browser.open(url)
    browser.titled("Top")
    browser.wait("the choice of the open window", "return [...document.querySelectorAll('#ranges button')].some((button) => button.innerText === 'Now')")
    browser.run("[...document.querySelectorAll('#ranges button')].find((button) => button.innerText === 'Now').click()")
    browser.wait("an open window in the title", "return document.querySelector('#title').innerText.includes('still open')")
    browser.wait("it in the address, followed", "return location.search.includes('open=true') && location.search.includes('live=1')")
    contains("what is said of it", browser.text("#notices"), "still open")
    total = "Number(document.querySelector('#facts').innerText.match(/([\\d,]+) in total so far/)[1].replaceAll(',', ''))"
    before = browser.run(f"return {total}")
    browser.wait("more in the same window or the next", f"return {total} !== arguments[0]", before)
    accessible(browser, axe, "the open window")
    if shots:
        browser.shot(shots / "page-open.png")
    window = "document.querySelector('#title .when').innerText"
    first = browser.run(f"return {window}")
    browser.wait("the window after it", f"return {window}.includes('still open') && {window} !== arguments[0]", first)
    # The address alone brings it back; other views show closed windows.
    browser.open(browser.run("return location.href"))
    browser.wait("the open window after loading the address", "return document.querySelector('#title').innerText.includes('still open')")
    browser.press("2")
    browser.titled("What changed")
    browser.press("1")
    browser.wait("the open window again", "return document.querySelector('#title').innerText.includes('still open')")
    fits(browser, "the open window")


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("--key")
    arguments.add_argument("--open", action="store_true", help="the service runs beside an engine: look at its open window")
    arguments.add_argument("--axe", type=Path)
    arguments.add_argument("--shots", type=Path)
    given = arguments.parse_args()
    if shutil.which("chromedriver") is None:
        print("page: chromedriver is not here", file=sys.stderr)
        return 3
    url = given.url.rstrip("/") + "/"
    axe = given.axe.read_text() if given.axe else None
    browser = Browser()
    try:
        if given.key:
            key(browser, url, given.key)
            quiet(browser, url, failing=True)
            return 0
        if given.open:
            still_open(browser, url, given.shots, axe)
            quiet(browser, url, failing=True)
            return 0
        week(browser, url, given.shots, axe)
        keyboard(browser, given.shots, axe)
        quiet(browser, url)
        wrong(browser, url)
        quiet(browser, url, failing=True)
        browser.close()
        question = f"?pipeline={PIPELINE}&where=origin%3DJFK&last=7d&k=20"
        for name, dark, phone, view in (
            ("page-dark", True, False, "&chart=rank"),
            ("page-phone", False, True, ""),
            ("page-phone-compare", True, True, "&view=compare"),
        ):
            browser = Browser(dark=dark, phone=phone)
            browser.open(url + question + view)
            browser.wait("the answer", "return document.querySelectorAll('.ranking li, table.compare tbody tr').length >= 20")
            fits(browser, name)
            accessible(browser, axe, name)
            quiet(browser, url)
            if given.shots:
                browser.shot(given.shots / f"{name}.png")
            browser.close()
    except Fault as fault:
        print(f"page: {fault}", file=sys.stderr)
        return 1
    finally:
        browser.close()
    print("page: everything holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
