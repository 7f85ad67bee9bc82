"""AWS CDK constructs that package S3 prefixes as Quilt packages."""
