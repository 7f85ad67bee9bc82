"""The Lambda runtime that turns S3 prefixes into Quilt packages."""
