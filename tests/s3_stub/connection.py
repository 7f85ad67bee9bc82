"""HTTP/1.1: one connection, its requests one after the other."""

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, cast

from tests.s3_stub.bodies import CHUNK_BYTES, Body, Bytes, iterate
from tests.s3_stub.faults import Action
from tests.s3_stub.framing import decode_chunks, parse_head
from tests.s3_stub.protocol import Request, Response, http_date
from tests.s3_stub.service import Service

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_WITHOUT_BODY = frozenset({204, 304})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """Parses requests, hands them to the service, and writes its answers.

    Args:
        service: What answers.
        loop: The loop it runs in.
    """

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._buffer = bytearray()
        self._request: Request | None = None
        self._is_answering = False
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transport is none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop a long answer: nobody reads it."""
        self._writable.set()
        self._service.connections.discard(self)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._buffer += data
        self._advance()

    def _advance(self) -> None:
        while not self._is_answering:
            if self._request is None:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                self._request = parse_head(self._buffer[:end].decode("latin-1"))
                del self._buffer[: end + 4]
                if "expect" in self._request.headers:
                    self._transport.write(_CONTINUE)
            data = self._take_body(self._request)
            if data is None:
                return
            request, self._request = self._request, None
            self._answer(request, data)

    def _take_body(self, request: Request) -> bytes | None:
        """The request's body; None while some of it is missing."""
        headers = request.headers
        if headers.get("transfer-encoding", "").lower() == "chunked":
            decoded = decode_chunks(self._buffer)
            if decoded is None:
                return None
            data, _, end = decoded
            del self._buffer[:end]
        else:
            length = int(headers.get("content-length") or 0)
            if not length:
                return b""
            if len(self._buffer) < length:
                return None
            with memoryview(self._buffer) as view:
                data = bytes(view[:length])
            del self._buffer[:length]
        if headers.get("x-amz-content-sha256", "").startswith("STREAMING"):
            framed = decode_chunks(data)
            if framed is None:
                raise ValueError("an aws-chunked body without its end")
            data, trailers, _ = framed
            headers.update(trailers)
        return data

    def _answer(self, request: Request, data: bytes) -> None:
        service = self._service
        service.receive(request, data)
        action = service.faults.find(request) if service.faults.rules else None
        if action is not None:
            self._start(self._answer_as_scripted(request, data, action))
        elif service.latency_seconds:
            self._is_answering = True
            response = service.apply(request, data)
            self._loop.call_later(service.latency_seconds, self._send_late, request, response)
        else:
            self._send(request, service.apply(request, data))

    def _start(self, answer: Coroutine[Any, Any, None]) -> None:
        self._is_answering = True
        self._task = self._loop.create_task(answer)
        self._task.add_done_callback(self._check)

    def _check(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._loop.call_exception_handler({"message": "no answer", "exception": error})
            self._transport.close()

    async def _answer_as_scripted(self, request: Request, data: bytes, action: Action) -> None:
        if action.delay_seconds:
            await asyncio.sleep(action.delay_seconds)
        if action.pause_before:
            await action.pause_before.hold(request)
        if action.drops_connection:
            self._transport.close()
            return
        if action.refusal:
            response = action.refusal.to_response()
            request.status = response.status
        else:
            response = self._service.apply(request, data)
        if action.pause_after:
            await action.pause_after.hold(request)
        if action.loses_reply:
            self._transport.close()
            return
        if action.rewrite:
            response = action.rewrite(response)
        if action.cut_after_bytes is not None:
            self._transport.write(self._head(response))
            chunks = iterate(*_body_span(response))
            self._transport.write(b"".join(chunks)[: action.cut_after_bytes])
            self._transport.close()
            return
        self._send_late(request, response)

    def _send_late(self, request: Request, response: Response) -> None:
        self._is_answering = False
        if not self._transport.is_closing():
            self._send(request, response)
            self._advance()

    def _send(self, request: Request, response: Response) -> None:
        head = self._head(response)
        if request.method == "HEAD" or response.status in _WITHOUT_BODY:
            self._transport.write(head)
        elif response.size_bytes <= CHUNK_BYTES:
            self._transport.write(head + b"".join(iterate(*_body_span(response))))
        else:
            self._transport.write(head)
            self._start(self._stream(request, response))
            return
        self._close_if_asked(request)

    async def _stream(self, request: Request, response: Response) -> None:
        for chunk in iterate(*_body_span(response)):
            if self._transport.is_closing():
                return
            self._transport.write(chunk)
            await self._writable.wait()
            # Without this, one long answer would keep every other connection waiting.
            await asyncio.sleep(0)
        self._is_answering = False
        self._close_if_asked(request)
        self._advance()

    def _close_if_asked(self, request: Request) -> None:
        if request.headers.get("connection", "").lower() == "close":
            self._transport.close()

    def _head(self, response: Response) -> bytes:
        status = response.status
        date = http_date(int(self._service.store.clock()))
        headers = {"Date": date, **response.headers}
        lines = [
            f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}",
            "Server: AmazonS3",
            "x-amz-request-id: 0A1B2C3D4E5F6789",
            *[f"{name}: {value}" for name, value in headers.items() if value or name != "Date"],
        ]
        if status not in _WITHOUT_BODY:
            lines.append(f"Content-Length: {response.size_bytes}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _body_span(response: Response) -> tuple[Body, int, int]:
    body = response.body
    first, size_bytes = response.body_range or (0, response.size_bytes)
    return Bytes(body) if isinstance(body, bytes) else body, first, size_bytes
