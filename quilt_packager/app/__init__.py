"""The stack that `cdk deploy` synthesizes from context flags."""
