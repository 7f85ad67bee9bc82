"""A minimal browser for tests of the page: it speaks ASGI, and keeps cookies."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from starlette.types import ASGIApp, Message

PORT = 8765
HOST = f"127.0.0.1:{PORT}"
ORIGIN = f"http://{HOST}"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


class Browser:
    """Sends requests as a browser does; `headers` replace its own, and None omits one.

    Attributes:
        root: Path that all pages are below, once signed in. Paths of requests are relative to it,
            and answers are shown without it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.root = ""
        self.cookies: dict[str, str] = {}
        self.cookie_paths: dict[str, str] = {}

    def get(self, url: str, **headers: str | None) -> Answer:
        return self.send("GET", url, b"", headers)

    def htmx(self, url: str, **headers: str | None) -> Answer:
        """Request a part, as htmx does."""
        return self.get(url, hx_request="true", **headers)

    def post(
        self,
        url: str,
        form: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        **headers: str | None,
    ) -> Answer:
        sent = {
            "origin": ORIGIN,
            "content_type": "application/x-www-form-urlencoded",
            **headers,
        }
        return self.send("POST", url, urlencode(form).encode(), sent)

    def send(self, method: str, url: str, body: bytes, headers: dict[str, str | None]) -> Answer:
        answer = asyncio.run(self._send(method, url, body, headers))
        for cookie in SimpleCookie(answer.headers.get("set-cookie", "")).values():
            self.cookies[cookie.key] = cookie.value
            self.cookie_paths[cookie.key] = cookie["path"]
        if url.startswith("/?token=") and answer.status == HTTPStatus.SEE_OTHER:
            self.root = answer.headers["location"].rstrip("/")
        if not self.root:
            return answer
        shown = {name: value.replace(self.root, "") for name, value in answer.headers.items()}
        return Answer(answer.status, shown, answer.text.replace(self.root, ""))

    def csrf(self, url: str) -> str:
        """Return the token in the forms of a page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(url).text)
        assert found is not None
        return found[1]

    async def _send(
        self, method: str, url: str, body: bytes, headers: dict[str, str | None]
    ) -> Answer:
        if not url.startswith(("/static/", "/?token=")):
            url = self.root + url
        cookies = "; ".join(
            f"{name}={value}"
            for name, value in self.cookies.items()
            if url.startswith(self.cookie_paths.get(name, "/"))
        )
        sent: dict[str, str | None] = {"host": HOST, "cookie": cookies or None, **headers}
        parts = urlsplit(url)
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [
                (name.replace("_", "-").encode(), value.encode("latin-1"))
                for name, value in sent.items()
                if value is not None
            ],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", PORT),
        }
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        start = next(each for each in messages if each["type"] == "http.response.start")
        content = b"".join(each.get("body", b"") for each in messages[1:])
        return Answer(
            start["status"],
            {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]},
            content.decode(),
        )
