"""An AWS on this machine: MiniStack, the CDK command from Python wheels, and the demo's story.

Nothing here is needed by, or imports, the constructs and the runtime.
"""
