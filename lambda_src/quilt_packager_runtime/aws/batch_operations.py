"""Jobs of S3 Batch Operations that compute checksums, also of archived objects."""

import msgspec

from quilt_packager_runtime.aws.clients import CallFailed, calling, connect
from quilt_packager_runtime.errors import AwsError
from quilt_packager_runtime.formats.objects import S3Uri

S3_ALGORITHMS = {"SHA256_CHUNKED": "SHA256", "CRC64NVME": "CRC64NVME"}
"""S3's algorithms of whole objects, by the algorithms of manifests."""

PRIORITY = 10
COMPLETE = "Complete"
ENDED_EARLY = frozenset({"Cancelled", "Cancelling", "Failed", "Failing"})


class ChecksumJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to create.

    Attributes:
        role_arn: Role that reads the objects and the manifest, and writes the report.
        algorithm: Algorithm, as in manifests of packages.
        manifest: CSV file of the objects.
        etag: Its ETag.
        has_versions: The file has a column of version ids.
        report_prefix: Prefix of the report, in the bucket of the manifest.
        token: Requests with the same token create one job.
    """

    role_arn: str
    algorithm: str
    manifest: S3Uri
    etag: str
    has_versions: bool
    report_prefix: str
    token: str


class JobState(msgspec.Struct, frozen=True):
    """The state of a job.

    Attributes:
        status: Status, such as `Active` or `Complete`.
        reason: Reasons of a failure; empty without one.
    """

    status: str
    reason: str


def create_job(job: ChecksumJob) -> str:
    """Create a job, unless a request with its token did, and return its id.

    Raises:
        AwsError: The job was not created.
    """
    _, partition, _, _, account, _ = job.role_arn.split(":", 5)
    bucket_arn = f"arn:{partition}:s3:::{job.manifest.bucket}"
    fields = ["Bucket", "Key", "VersionId"] if job.has_versions else ["Bucket", "Key"]
    try:
        with calling():
            answer = connect("s3control").create_job(
                AccountId=account,
                ConfirmationRequired=False,
                ClientRequestToken=job.token,
                Description="Checksums of archived objects for a Quilt package",
                Priority=PRIORITY,
                RoleArn=job.role_arn,
                Operation={
                    "S3ComputeObjectChecksum": {
                        "ChecksumAlgorithm": S3_ALGORITHMS[job.algorithm],
                        "ChecksumType": "FULL_OBJECT",
                    }
                },
                Manifest={
                    "Spec": {"Format": "S3BatchOperations_CSV_20180820", "Fields": fields},
                    "Location": {
                        "ObjectArn": f"{bucket_arn}/{job.manifest.key}",
                        "ETag": job.etag.strip('"'),
                    },
                },
                Report={
                    "Enabled": True,
                    "Bucket": bucket_arn,
                    "ExpectedBucketOwner": account,
                    "Format": "Report_CSV_20180820",
                    "Prefix": job.report_prefix,
                    "ReportScope": "AllTasks",
                },
            )
    except CallFailed as failure:
        raise AwsError(
            f"No job of S3 Batch Operations was created: {failure}.",
            why="It would compute the checksums of archived objects.",
            remedy="Allow s3:CreateJob, and iam:PassRole on the role of the job, and retry.",
        ) from failure
    job_id: str = answer["JobId"]
    return job_id


def describe_job(role_arn: str, job_id: str) -> JobState:
    """Return the state of a job in the account of its role.

    Raises:
        AwsError: The job could not be described.
    """
    account = role_arn.split(":")[4]
    try:
        with calling():
            job = connect("s3control").describe_job(AccountId=account, JobId=job_id)["Job"]
    except CallFailed as failure:
        raise AwsError(
            f"The job {job_id} of S3 Batch Operations could not be described: {failure}.",
            why="It computes the checksums of archived objects.",
            remedy="Allow s3:DescribeJob, and retry.",
        ) from failure
    reasons = [each.get("FailureReason", "") for each in job.get("FailureReasons", ())]
    reasons.append(job.get("StatusUpdateReason", ""))
    return JobState(job["Status"], "; ".join(filter(None, reasons)))
