"""One site for all tests of the read side: nothing that they do changes what others see."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.acceptance.attacks import found
from tests.acceptance.browser import ARGUMENTS, Reader
from tests.acceptance.site import OLIVIA, Site, history, site, stored
from tests.conftest import database, dsn_of
from tests.left_out import leave_out

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

PROMETHEUS = shutil.which("prometheus")

PAGES = [path.name for path in Path(__file__).parent.glob("test_page*.py")]

collect_ignore = leave_out(
    "acceptance",
    ({} if CHROMIUM else dict.fromkeys(PAGES, "a browser: install chromium"))
    | ({} if PROMETHEUS else {"test_operations.py": "Prometheus: install prometheus"}),
)


@pytest.fixture(scope="session")
def the_site(kafka: str, postgres_admin_dsn: str, postgres_template: str) -> Iterator[Site]:
    """Give the site that all tests look at."""
    with running_site(kafka, postgres_admin_dsn, postgres_template) as running:
        yield running


@contextmanager
def running_site(kafka: str, admin_dsn: str, template: str) -> Iterator[Site]:
    """Run a site with the history of acme, and a little of globex."""
    with database(admin_dsn, template=template) as name:
        dsn = dsn_of(admin_dsn, name)
        stored(dsn, [*history("acme"), *history("globex")[:5]])
        with site(kafka, dsn, f"site{secrets.token_hex(4)}.") as running:
            yield running


@pytest.fixture(scope="session")
def attacked(kafka: str, postgres_admin_dsn: str, postgres_template: str) -> Iterator[Site]:
    """Give a site of its own, where acme was attacked: others count what is in theirs."""
    with running_site(kafka, postgres_admin_dsn, postgres_template) as running:
        found(running.dsn)
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def reader(browser: Browser, the_site: Site) -> Iterator[Reader]:
    """Give an Owner at a desk, in the light."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    yield Reader(context, the_site, OLIVIA)
    context.close()
