"""Promote a package with its objects, as the command does.

Run as a process: `python -m benchmarks.promote_package REGISTRY PACKAGE TARGET`.
"""

import asyncio
import sys

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.promotion.promote import promote
from quilt_packager_runtime.promotion.promotion_request import PromotionRequest
from quilt_packager_runtime.registry.publish import Package


def main() -> None:
    """Promote a package, and print the top hash."""
    registry, name, target = sys.argv[1:]
    request = PromotionRequest(
        source=Package(registry, name),
        target=Package(target, name),
        copy_to=SourceFolder(target, "copies/"),
        promoted_by="benchmarks",
    )
    outcome = asyncio.run(promote(request, s3=S3.from_environment()))
    sys.stdout.write(outcome.top_hash or "")


if __name__ == "__main__":
    main()
