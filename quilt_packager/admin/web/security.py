"""Who may see and use the page: the browser that the command opened, and no other.

The page acts by its user's own AWS credentials, and every site that the user visits can send
requests to 127.0.0.1. So each request is checked here, before anything else reads it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, parse_qsl

from starlette.datastructures import Headers, ImmutableMultiDict, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Chromium sends forms with `Origin: null` where it is no-referrer: none would be accepted.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

MAX_FORM_BYTES = 2 * 1024 * 1024
"""The longest form: a message of SQS has at most half of it, and percent-encoding adds to it."""

FORM = "application/x-www-form-urlencoded"
Form = ImmutableMultiDict[str, str]

SAFE_METHODS = frozenset({"GET", "HEAD"})

START = "/"
PUBLIC = "/static/"
"""What is below it is the same for everybody: the pages of refusals need it."""


class Refusal(NamedTuple):
    """Why a request is not answered.

    Attributes:
        status: The status of HTTP.
        happened: What was refused, as a sentence.
        why: The rule, as a sentence.
        remedy: What the reader can do, as a sentence.
    """

    status: int
    happened: str
    why: str
    remedy: str


UNKNOWN_BROWSER = Refusal(
    403,
    "This browser is not signed in to the page.",
    "The page shows and changes an AWS account, so it answers only the browser that was opened "
    "with the address that quilt-packager admin printed, while that command runs.",
    "Open the whole address from the terminal, with its token. If you just did, try again.",
)
OTHER_HOST = Refusal(
    421,
    "The page is not served under this name.",
    "It answers only to 127.0.0.1 and localhost: another name may lead here by a trick.",
    "Open the address that quilt-packager admin printed.",
)
OTHER_ORIGIN = Refusal(
    403,
    "Nothing was changed: the request did not come from this page.",
    "Another site, or a program that does not say where it comes from, sent it.",
    "Use the forms of this page.",
)
OLD_FORM = Refusal(
    403,
    "Nothing was changed: the form is from another run of the page.",
    "Its token is missing, or was made before quilt-packager admin was started again.",
    "Load the page again, and repeat what you did.",
)
NOT_A_FORM = Refusal(
    415,
    "Nothing was changed: the request is not a form.",
    f"The page reads {FORM} alone.",
    "Use the forms of this page.",
)
LONG_FORM = Refusal(
    413,
    "Nothing was changed: the form is too long.",
    f"The page reads forms of at most {MAX_FORM_BYTES:,} bytes.",
    "Send large messages with quilt-packager send.",
)
READ_ONLY = Refusal(
    403,
    "Nothing was changed: this page is read only.",
    "It was started with --read-only.",
    "Start quilt-packager admin without it.",
)


class Access:
    """The secrets of one run of the page, and what it accepts.

    Args:
        port: The port of the page.
        read_only: Whether to refuse all that changes something.
        harmless: Paths of forms that change nothing in AWS; a page that is read only takes them.

    Attributes:
        read_only: As given.
        start_token: What the command prints; it signs in as many browsers as one likes.
        hosts: The names that the page is served under.
        cookie_name: The cookie's name.
    """

    def __init__(
        self, port: int, *, read_only: bool = False, harmless: Collection[str] = ()
    ) -> None:
        self.read_only = read_only
        self.start_token = secrets.token_urlsafe(32)
        self.hosts = frozenset(f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]"))
        # A browser keeps the cookies of all ports of a host together.
        self.cookie_name = f"quilt-packager-{port}"
        self._harmless = frozenset(harmless)
        self._session = secrets.token_urlsafe(32)
        self._once: set[str] = set()

    def make_token(self) -> str:
        """A start token that works once: other users see the arguments that a browser starts with.

        Whoever is quicker takes it, and the browser that it was for is refused: that is seen.
        """
        token = secrets.token_urlsafe(32)
        self._once.add(token)
        return token

    @property
    def csrf_token(self) -> str:
        """What each form carries, and no other site can know."""
        return hmac.new(self._session.encode(), b"form", hashlib.sha256).hexdigest()

    @property
    def cookie(self) -> str:
        """The header that signs a browser in."""
        return f"{self.cookie_name}={self._session}; Path=/; HttpOnly; SameSite=Strict"

    def has_started(self, scope: Scope) -> bool | None:
        """Whether a request brings the start token; None: it brings none at all."""
        if scope["path"] != START:
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = query.get("token")
        if tokens is None:
            return None
        if tokens[-1] in self._once:
            self._once.discard(tokens[-1])
            return True
        return _equal(tokens[-1], self.start_token)

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether a browser is signed in."""
        # Other programs on this host have cookies here, too, of any form: SimpleCookie gives up all
        # of them, and ours, at the first that it cannot read.
        cookie = cookie_parser(headers.get("cookie", "")).get(self.cookie_name)
        return cookie is not None and _equal(cookie, self._session)

    def refuse(self, scope: Scope, headers: Mapping[str, str]) -> Refusal | None:
        """Check all of a request but its form.

        Args:
            scope: The request.
            headers: Its headers.

        Returns:
            Why it is not to be answered; None: it is.
        """
        if headers.get("host") not in self.hosts:
            return OTHER_HOST
        if scope["path"].startswith(PUBLIC) and scope["method"] in SAFE_METHODS:
            return None
        if not self.knows(headers):
            return UNKNOWN_BROWSER
        return None if scope["method"] in SAFE_METHODS else self._refuse_write(scope, headers)

    def refuse_form(self, form: Form) -> Refusal | None:
        """Check the form of a request; returns as `refuse` does."""
        given = form.get("csrf")
        return None if given and _equal(given, self.csrf_token) else OLD_FORM

    def _refuse_write(self, scope: Scope, headers: Mapping[str, str]) -> Refusal | None:
        if headers.get("origin") != f"http://{headers['host']}":
            return OTHER_ORIGIN
        if self.read_only and scope["path"] not in self._harmless:
            return READ_ONLY
        if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            return NOT_A_FORM
        return None


def form_of(request: Request) -> Form:
    """The form that a request brought, which the guard has read and checked.

    Args:
        request: One that is not GET or HEAD.
    """
    form: Form = request.state.form
    return form


class Guard:
    """Lets only requests through that `Access` accepts; `form_of` gives their forms.

    Args:
        app: The page.
        access: What is accepted.
        explain: Makes the answer to a request that is refused.
    """

    def __init__(
        self, app: ASGIApp, access: Access, explain: Callable[[Scope, Refusal], Response]
    ) -> None:
        self._app = app
        self._access = access
        self._explain = explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # A WebSocket, which the page has none of: uvicorn closes it when nobody accepts it.
            return
        await self._answer(scope, receive, _with_headers(send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._access.refuse(scope, headers)
        if refusal not in (None, UNKNOWN_BROWSER):
            await self._explain(scope, refusal)(scope, receive, send)
            return
        if (started := self._access.has_started(scope)) is not None:
            await self._start(scope, started=started)(scope, receive, send)
            return
        if refusal is None and scope["method"] not in SAFE_METHODS:
            refusal = await self._read_form(scope, receive)
        if refusal is not None:
            await self._explain(scope, refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _start(self, scope: Scope, *, started: bool) -> Response:
        if not started:
            return self._explain(scope, UNKNOWN_BROWSER)
        # At once: the token stays neither in the address bar nor in a Referer.
        response = RedirectResponse(START, status_code=303)
        response.headers["Set-Cookie"] = self._access.cookie
        return response

    async def _read_form(self, scope: Scope, receive: Receive) -> Refusal | None:
        body = await _read_body(receive)
        if body is None:
            return LONG_FORM
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        form = Form(pairs)
        scope.setdefault("state", {})["form"] = form
        return self._access.refuse_form(form)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            # What is in an account is nothing for a cache on a disk.
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers


async def _read_body(receive: Callable[[], Awaitable[Message]]) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_FORM_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
