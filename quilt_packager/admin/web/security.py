"""Access to the page: only for browsers that opened the address that the command printed.

The page acts with its user's AWS credentials, and every site that the user visits can send
requests to 127.0.0.1. So each request is checked here, before anything else reads it.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from urllib.parse import parse_qs, parse_qsl

from starlette.datastructures import Headers, ImmutableMultiDict, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quilt_packager.admin.web.refusals import (
    FORM,
    LONG_FORM,
    MAX_FORM_BYTES,
    NOT_A_FORM,
    OLD_FORM,
    OTHER_HOST,
    OTHER_ORIGIN,
    READ_ONLY,
    UNKNOWN_BROWSER,
    Refusal,
)

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
    # With no-referrer, Chromium sends forms with `Origin: null`, which is refused.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Form = ImmutableMultiDict[str, str]

SAFE_METHODS = frozenset({"GET", "HEAD"})

START = "/"
PUBLIC = "/static/"
"""Files that are the same for all users: pages of refusals need them."""


class Access:
    """The secrets of one run of the page, and the rules for requests.

    Browsers send a cookie to every port of its host. The cookie is therefore restricted to a path
    that contains a second secret, `root`: a server on another port receives neither.

    Args:
        port: Port of the page.
        read_only: Refuse all forms that change something in AWS.
        allowed_when_read_only: Paths of forms that change nothing in AWS.

    Attributes:
        read_only: As given.
        start_token: Token in the printed address; it signs in any number of browsers.
        root: Path that all pages are below.
        csrf_token: Token in each form.
        hosts: Accepted `Host` headers.
        cookie_name: Name of the session cookie.
    """

    def __init__(
        self, port: int, *, read_only: bool = False, allowed_when_read_only: Collection[str] = ()
    ) -> None:
        self.read_only = read_only
        self.start_token = secrets.token_urlsafe(32)
        self.root = f"/{secrets.token_urlsafe(16)}"
        self.csrf_token = secrets.token_urlsafe(32)
        self.hosts = frozenset(f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]"))
        self.cookie_name = f"quilt-packager-{port}"
        self._allowed_when_read_only = frozenset(allowed_when_read_only)
        self._session = secrets.token_urlsafe(32)
        self._once: set[str] = set()

    def make_token(self) -> str:
        """Create a start token that works once.

        Other users of the machine can see the arguments that a browser is started with. If one of
        them uses the token first, the browser is refused, which is noticed.
        """
        token = secrets.token_urlsafe(32)
        self._once.add(token)
        return token

    @property
    def cookie(self) -> str:
        """The `Set-Cookie` header that signs a browser in."""
        scope = f"Path={self.root}/; HttpOnly; SameSite=Strict"
        return f"{self.cookie_name}={self._session}; {scope}"

    def check_start_token(self, scope: Scope) -> bool | None:
        """Check the start token of a request; None without one."""
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

    def root_of(self, path: str) -> str:
        """Return `root` if a path is below it, else an empty string."""
        first = path[: len(self.root) + 1]
        return self.root if _equal(first, f"{self.root}/") else ""

    def is_signed_in(self, path: str, headers: Mapping[str, str]) -> bool:
        """Return True for a request with both secrets: the path and the cookie."""
        # Other programs on this host set cookies of any form. SimpleCookie discards all cookies,
        # ours included, at the first that it cannot parse.
        cookie = cookie_parser(headers.get("cookie", "")).get(self.cookie_name)
        return bool(self.root_of(path)) and cookie is not None and _equal(cookie, self._session)

    def refuse(self, scope: Scope, headers: Mapping[str, str]) -> Refusal | None:
        """Check all of a request but its form.

        Returns:
            The reason to refuse it; None to answer it.
        """
        if headers.get("host") not in self.hosts:
            return OTHER_HOST
        if scope["path"].startswith(PUBLIC) and scope["method"] in SAFE_METHODS:
            return None
        if not self.is_signed_in(scope["path"], headers):
            return UNKNOWN_BROWSER
        return None if scope["method"] in SAFE_METHODS else self._refuse_write(scope, headers)

    def refuse_form(self, form: Form) -> Refusal | None:
        """Check the form of a request; returns as `refuse` does."""
        given = form.get("csrf")
        return None if given and _equal(given, self.csrf_token) else OLD_FORM

    def _refuse_write(self, scope: Scope, headers: Mapping[str, str]) -> Refusal | None:
        if headers.get("origin") != f"http://{headers['host']}":
            return OTHER_ORIGIN
        route = scope["path"].removeprefix(self.root)
        if self.read_only and route not in self._allowed_when_read_only:
            return READ_ONLY
        if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            return NOT_A_FORM
        return None


def form_of(request: Request) -> Form:
    """Return the form of a request, which the guard has read and checked."""
    form: Form = request.state.form
    return form


class Guard:
    """Passes requests on only if `Access` accepts them; `form_of` returns their forms.

    Args:
        app: The page.
        access: The rules.
        explain: Makes the answer to a refused request.
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
            # A WebSocket, which the page does not use. uvicorn closes it if it is not accepted.
            return
        await self._answer(scope, receive, _with_headers(send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        scope = {**scope, "root_path": self._access.root_of(scope["path"])}
        refusal = self._access.refuse(scope, headers)
        if refusal in (None, UNKNOWN_BROWSER):
            started = self._access.check_start_token(scope)
            if started is not None:
                await self._start(scope, started=started)(scope, receive, send)
                return
        if refusal is None and scope["method"] not in SAFE_METHODS:
            refusal = await self._read_form(scope, receive)
        answer = self._app if refusal is None else self._explain(scope, refusal)
        await answer(scope, receive, send)

    def _start(self, scope: Scope, *, started: bool) -> Response:
        if not started:
            return self._explain(scope, UNKNOWN_BROWSER)
        # At once: the token stays neither in the address bar nor in a Referer.
        response = RedirectResponse(f"{self._access.root}/", status_code=303)
        response.headers["Set-Cookie"] = self._access.cookie
        return response

    async def _read_form(self, scope: Scope, receive: Receive) -> Refusal | None:
        body = await _read_body(receive)
        if body is None:
            return LONG_FORM
        form = Form(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        scope.setdefault("state", {})["form"] = form
        return self._access.refuse_form(form)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            # The contents of an account do not belong into a cache on disk.
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
