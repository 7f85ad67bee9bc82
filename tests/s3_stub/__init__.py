"""S3 on the loopback, for what emulators lack: checksums, faults, schedules, counts, and speed.

A test takes the fixture `s3_stub`: a server in a thread of its own, empty for each test. Buckets
are filled and read directly, without requests:

    bucket = s3_stub.create_bucket("raw")                        # versioned; see Versioning
    bucket.put("runs/a.txt", b"hello", stored=["SHA256"])        # which checksums S3 stores
    bucket.put("runs/big", Pattern(300 * 2**20), part_sizes=[…]) # computed, holds no bytes
    bucket.put("runs/old", b"", storage_class="GLACIER")
    bucket.get("runs/a.txt").data, bucket.keys(), bucket.uploads # uploads: the open ones

Trouble is scripted. The first rule that fits a request acts on it, `times` times, from the `nth`
on; operations, buckets and keys are patterns:

    s3_stub.on("HeadObject", nth=2, times=3).answer(503, "SlowDown")
    s3_stub.on("UploadPartCopy").answer(200, "InternalError")    # an error inside a 200
    s3_stub.on("PutObject", key="*/latest").lose_reply()         # applied, never answered
    s3_stub.on("GetObject").cut_body(100)                        # also drop_connection, delay,
    s3_stub.on("List*").rewrite_body(lambda body: body[:200])    # rewrite_headers
    s3_stub.deny("HeadObject", key="secret/*")

Schedules of several writers are enumerated with pauses, before or after a request is applied:

    pause = s3_stub.on("PutObject", key="*/latest", access_key="WRITER1").pause_before()
    held = await pause.reached()                                 # in a plain test: pause.wait()
    …                                                            # what happens meanwhile
    held.release()

Then `s3_stub.counts["HeadObject"]`, `s3_stub.requests` and `requests_of(operation)` tell what
arrived, with headers, access key, session token and the status answered. `distinct_counts` counts
what is asked for once more only once: awscrt may do so by itself. `forget_requests()` separates a
test's set-up from its subject; `store.clock` sets the `Date` of the answers.

Benchmarks run it as a process of its own: `with StubProcess("--synthetic", "raw=100000") as stub:`
from `tests.s3_stub.process`.
"""

from tests.s3_stub.bodies import Pattern
from tests.s3_stub.faults import Faults, Rule
from tests.s3_stub.pauses import Held, Pause
from tests.s3_stub.protocol import Request
from tests.s3_stub.server import S3Stub
from tests.s3_stub.store import NULL, Bucket, Store, Versioning
from tests.s3_stub.synthetic import SyntheticBucket
from tests.s3_stub.versions import Version

__all__ = [
    "NULL",
    "Bucket",
    "Faults",
    "Held",
    "Pattern",
    "Pause",
    "Request",
    "Rule",
    "S3Stub",
    "Store",
    "SyntheticBucket",
    "Version",
    "Versioning",
]
