"""Clicks on Execute of every operation in /docs, in a real browser, and looks at the request that each click sends."""

import json
import os
import shutil
import tempfile
import urllib.request
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

SERVER = os.environ["SERVER"]
# What is filled in where a value is required; no operation has anything under this id.
VALUE = "anything_1"
# Notes what the page sends, and sends it.
NOTE = """
window.sent = [];
const send = window.fetch;
window.fetch = (what, how) => {
  const request = new Request(what, how);
  window.sent.push([request.method, request.url]);
  return send(what, how);
};
"""


def browser(profile: str) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in [
        *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
        *["--disable-background-networking", "--disable-component-update", "--disable-sync"],
        *["--window-size=1400,1000", f"--user-data-dir={profile}"],
    ]:
        options.add_argument(flag)
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def execute(page: webdriver.Chrome, block: WebElement) -> tuple[str, str]:
    """Opens an operation, fills in what it needs, clicks on Execute. Returns the method and the path of what is sent."""
    soon = WebDriverWait(page, 10)
    page.execute_script("window.sent = []; arguments[0].scrollIntoView()", block)
    block.find_element(By.CSS_SELECTOR, ".opblock-summary-control").click()
    button = soon.until(lambda _: next(iter(block.find_elements(By.CSS_SELECTOR, "button.execute")), None))
    for row in block.find_elements(By.CSS_SELECTOR, "tr[data-param-name]"):
        if row.find_elements(By.CSS_SELECTOR, ".required"):
            # Where there is a choice, one is made already.
            for field in row.find_elements(By.CSS_SELECTOR, "input"):
                field.clear()
                field.send_keys(VALUE)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    [method, url] = soon.until(lambda _: page.execute_script("return window.sent"))[0]
    return method, urlsplit(url).path


def main() -> None:
    with urllib.request.urlopen(f"{SERVER}/openapi.json", timeout=10) as response:
        paths = json.load(response)["paths"]
    operations = [
        (operation["operationId"], method.upper(), path.replace("{id}", VALUE))
        for path, item in paths.items()
        for method, operation in item.items()
    ]
    with tempfile.TemporaryDirectory() as profile:
        page = browser(profile)
        try:
            page.get(f"{SERVER}/docs/")
            blocks = WebDriverWait(page, 30).until(lambda _: page.find_elements(By.CSS_SELECTOR, ".opblock"))
            assert len(blocks) == len(operations), f"{len(blocks)} of {len(operations)} operations are shown"
            page.execute_script(NOTE)
            for name, *expected in operations:
                [block] = page.find_elements(By.CSS_SELECTOR, f".opblock[id$='-{name}']")
                sent = execute(page, block)
                assert list(sent) == expected, f"{name} sends {sent}, not {expected}"
        finally:
            page.quit()
    print(f"{len(operations)} clicks, each sends its operation")


main()
