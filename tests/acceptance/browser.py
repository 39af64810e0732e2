"""Somebody in front of a real browser."""

from playwright.sync_api import BrowserContext, ConsoleMessage, Page

from processor.demo.issuer import Person
from tests.acceptance.site import Site

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Reader:
    """Somebody with a browser of their own, who is logged in; what the console says is kept."""

    def __init__(self, context: BrowserContext, site: Site, person: Person | None) -> None:
        """Log in, by the session that a login leaves."""
        self.site = site
        self.complaints: list[str] = []
        if person is not None:
            cookie = {"name": "hub_audit_session", "value": site.token(person), "url": site.url}
            context.add_cookies([cookie])  # type: ignore[list-item]
        self.page: Page = context.new_page()
        self.page.on(
            "console",
            self._hear,
        )

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    def open(self, path: str) -> int:
        """Open a page and return the status of the answer."""
        answer = self.page.goto(self.site.url + path)
        assert answer is not None
        return answer.status
