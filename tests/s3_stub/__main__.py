"""Run the stub as a process: `python -m tests.s3_stub --synthetic raw=100000,sha256`."""

from tests.s3_stub.process import main

main()
