"""Permissions, AWS quotas, and acknowledged findings of cdk-nag."""
