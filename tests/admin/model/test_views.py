"""The views of an engine in the embedded AWS."""

from quilt_packager.admin.model.periods import DAY
from quilt_packager.admin.model.views import Views
from quilt_packager.operations.deployment.deployments import Deployment
from tests.embedded_aws import WriteLog
from tests.operations.job_lines import before_now, started, succeeded


def test_views_read_from_aws(deployment: Deployment, write_log: WriteLog) -> None:
    write_log(started("a1", before_now(minutes=2)), succeeded("a1", before_now(minutes=1)))
    deployment.sqs.send_message(QueueUrl=deployment.dead_letter_queue_url, MessageBody="{}")
    views = Views(deployment)
    assert views.failures_waiting() is None
    queues = views.queues()
    assert queues.error is None
    assert views.failures_waiting() == 1
    jobs = views.jobs(DAY)
    assert (jobs.error, jobs.value and len(jobs.value.jobs)) == (None, 1)
    record = views.job("a1").value
    assert record is not None
    assert record.job.package_name == "runs/1"
    assert views.configuration().error is None
    assert views.identity() is None
    views.find_identity()
    assert views.identity() == "arn:aws:iam::123456789012:root"
