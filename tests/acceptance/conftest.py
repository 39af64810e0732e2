"""One site for all tests of the read side: nothing that they do changes what others see."""

import secrets
import shutil
from collections.abc import Iterator

import pytest

from tests.acceptance.site import Site, history, site, stored
from tests.conftest import database, dsn_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

collect_ignore = [] if CHROMIUM else ["test_page.py"]


def pytest_report_header() -> str:
    """Say whether the page is tested: where there is no browser it cannot be."""
    return f"browser: {CHROMIUM or 'none, the tests of the page are LEFT OUT: install chromium'}"


@pytest.fixture(scope="session")
def the_site(kafka: str, postgres_admin_dsn: str, postgres_template: str) -> Iterator[Site]:
    """Give a running site with the history of acme, and a little of globex."""
    with database(postgres_admin_dsn, template=postgres_template) as name:
        dsn = dsn_of(postgres_admin_dsn, name)
        stored(dsn, [*history("acme"), *history("globex")[:5]])
        with site(kafka, dsn, f"site{secrets.token_hex(4)}.") as running:
            yield running
