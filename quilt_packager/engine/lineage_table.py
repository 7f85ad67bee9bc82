"""The table of the index of lineage."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from quilt_packager.guardrails.nag import acknowledge, acknowledge_controls

PARTITION_KEY = "subject"
SORT_KEY = "revision"


def create_lineage_table(scope: Construct, key: kms.IKey | None) -> dynamodb.Table:
    """Create the table, which is deleted with its engine: the manifests have what it has."""
    table = dynamodb.Table(
        scope,
        "Lineage",
        partition_key=dynamodb.Attribute(name=PARTITION_KEY, type=dynamodb.AttributeType.STRING),
        sort_key=dynamodb.Attribute(name=SORT_KEY, type=dynamodb.AttributeType.STRING),
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED if key else None,
        encryption_key=key,
        removal_policy=RemovalPolicy.DESTROY,
    )
    is_made_again = "quilt-packager lineage rebuild makes the index again from the manifests."
    acknowledge(table, {"AwsSolutions-DDB3": is_made_again})
    acknowledge_controls(
        table, {"DynamoDBInBackupPlan": is_made_again, "DynamoDBPITREnabled": is_made_again}
    )
    return table
