"""HealthOmics on loopback, as far as the product asks it: ListRuns, page by page, and GetRun."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

RUN_FIELDS = ("arn", "id", "status", "workflowId", "name", "creationTime", "startTime", "stopTime")
"""What ListRuns tells of a run; the rest, GetRun alone tells."""


class OmicsStub:
    """A server of runs, as a context manager.

    Args:
        page_size: How many runs ListRuns answers with at once.

    Attributes:
        runs: The runs, as GetRun answers with them.
        asked: The paths that were asked for, with their queries.
        denied: Whether GetRun is refused.
    """

    def __init__(self, page_size: int = 2) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.denied = False
        self._page_size = page_size
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What sends clients here."""
        return {"AWS_ENDPOINT_URL_OMICS": f"http://127.0.0.1:{self._server.server_port}"}

    def add_run(
        self, run_id: str, *, day: int = 20, status: str = "COMPLETED", **more: Any
    ) -> dict[str, Any]:
        """Add a run of November 2026, which took an hour from noon on."""
        self.runs[run_id] = {
            "arn": f"arn:aws:omics:us-east-1:123456789012:run/{run_id}",
            "id": run_id,
            "uuid": f"uuid-{run_id}",
            "status": status,
            "workflowId": "6815242",
            "name": "NA12878",
            "creationTime": write_time(day, 11),
            "startTime": write_time(day, 12),
            "stopTime": write_time(day, 13),
            "outputUri": "s3://raw/out/",
            "runOutputUri": f"s3://raw/out/{run_id}",
            "parameters": {"sample": "NA12878", "license_key": "hush"},
            "tags": {"project": "genomes"},
            **more,
        }
        return self.runs[run_id]

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """What a GET of a path is answered with."""
        self.asked.append(path)
        parts = urlsplit(path)
        if parts.path == "/run":
            query = parse_qs(parts.query)
            return 200, self._list(query["status"][0], int(query.get("startingToken", ["0"])[0]))
        if self.denied:
            return 403, {"message": "not authorized to perform omics:GetRun"}
        run = self.runs.get(parts.path.removeprefix("/run/"))
        return (200, run) if run else (404, {"message": "no such run"})

    def _list(self, status: str, first: int) -> dict[str, Any]:
        chosen = [run for run in self.runs.values() if run["status"] == status]
        last = first + self._page_size
        listed = [
            {name: run[name] for name in RUN_FIELDS if name in run} for run in chosen[first:last]
        ]
        return {"items": listed} | ({"nextToken": str(last)} if last < len(chosen) else {})

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, value = stub.answer(self.path)
                body = json.dumps(value).encode()
                self.send_response(status)
                if status != 200:
                    names = {403: "AccessDeniedException", 404: "ResourceNotFoundException"}
                    self.send_header("x-amzn-ErrorType", names[status])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler


def write_time(day: int, hour: int) -> str:
    """A time of November 2026, as HealthOmics writes it."""
    return datetime(2026, 11, day, hour, tzinfo=UTC).isoformat().replace("+00:00", "Z")
