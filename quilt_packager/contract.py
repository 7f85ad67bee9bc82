"""Names and defaults that the constructs write and the tools read.

The tools run without the CDK, and find an engine by these in a deployed stack. Values that the
Lambda runtime shares are in the runtime.
"""

FLAG_PREFIX = "quilt:"
"""Prefix of the context flags."""

# Ids of outputs, which the CDK may extend by the ids of scopes and a hash.
QUEUE_OUTPUT = "PackagerQueueUrl"
DEAD_LETTERS_OUTPUT = "PackagerDeadLetterQueueUrl"
ROLES_OUTPUT = "DataAccessRoleArns"

APP_QUEUE = "PackagerQueue"
"""Logical id of the queue in the stack that is made of context flags, and in no other."""

# Ids of constructs of an engine.
PACKAGER_LOG = "PackagerLog"
CHECKSUM_LOG = "ChecksumLog"
LARGE_JOBS = "LargeJobs"
SCRATCH_BUCKET = "ScratchBucket"
PACKAGER_FUNCTION = "PackagerFunction"
COALESCER_FUNCTION = "CoalescerFunction"
AUDIT_FUNCTION = "AuditFunction"
AUDIT = "Audit"
AUDIT_LOG = "AuditLog"
AUDIT_MACHINE = "Audits"

# Names of log groups, below `/quilt/<service>/`. The large-job function shares the packager's.
PACKAGER_LAMBDA = "PackagerLambda"
CHECKSUM_LAMBDA = "ChecksumLambda"
AUDIT_LAMBDA = "AuditLambda"

SOURCE_METADATA = "quilt:source"
"""CloudFormation metadata of a rule: the name, kind and sender of the source it switches."""

FLAGS_METADATA = "quilt:flags"
"""CloudFormation metadata of the stack: its flags that are not the defaults, by name."""

# Names of the sources that have flags. A second source of a kind is named by its construct id.
OMICS = "omics"
CRATES = "wrroc"
EDP = "edp"
UPLOADS = "uploads"

DEFAULT_CHECKSUM_CONCURRENCY = 20
DEFAULT_MEMORY_MEBIBYTES = 2048
DEFAULT_TIMEOUT_SECONDS = 900


def join_names(*names: str | None) -> str:
    """Join the names of a stack, an engine or a source; an engine alone in its stack has none.

    Example:
        >>> join_names("prod", "lab"), join_names("prod", None)
        ('prod/lab', 'prod')
    """
    return "/".join(filter(None, names))


def log_group_name(service: str, name: str) -> str:
    """Return the name of a log group of an engine.

    Example:
        >>> log_group_name(join_names("prod", "lab"), PACKAGER_LAMBDA)
        '/quilt/prod/lab/PackagerLambda'
    """
    return f"/quilt/{service}/{name}"
