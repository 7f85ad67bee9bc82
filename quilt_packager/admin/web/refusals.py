"""The reasons for which a request is refused, as its reader sees them."""

from typing import NamedTuple

MAX_FORM_BYTES = 2 * 1024 * 1024
"""Maximum size of a form. An SQS message has at most half of it; percent-encoding adds to it."""

FORM = "application/x-www-form-urlencoded"


class Refusal(NamedTuple):
    """The reason for which a request is refused.

    Attributes:
        status: HTTP status.
        happened: The refused action, as a sentence.
        why: The rule, as a sentence.
        remedy: The reader's next step, as a sentence.
    """

    status: int
    happened: str
    why: str
    remedy: str


UNKNOWN_BROWSER = Refusal(
    403,
    "This browser is not signed in to the page.",
    "The page shows and changes an AWS account, so it answers only browsers that opened the "
    "address printed by quilt-packager admin, and only while that command runs.",
    "Open the complete address from the terminal, including its token.",
)
OTHER_HOST = Refusal(
    421,
    "The page is not served under this name.",
    "It answers only to 127.0.0.1 and localhost. Another name may be a DNS rebinding attack.",
    "Open the address printed by quilt-packager admin.",
)
OTHER_ORIGIN = Refusal(
    403,
    "Nothing was changed: the request did not come from this page.",
    "It came from another site, or from a program that sends no Origin header.",
    "Use the forms of this page.",
)
OLD_FORM = Refusal(
    403,
    "Nothing was changed: the form is from another run of the page.",
    "Its token is missing, or quilt-packager admin was restarted since the form was loaded.",
    "Reload the page and repeat the action.",
)
NOT_A_FORM = Refusal(
    415,
    "Nothing was changed: the request is not a form.",
    f"The page accepts only {FORM}.",
    "Use the forms of this page.",
)
LONG_FORM = Refusal(
    413,
    "Nothing was changed: the form is too long.",
    f"The page accepts forms of at most {MAX_FORM_BYTES:,} bytes.",
    "Send large messages with quilt-packager send.",
)
READ_ONLY = Refusal(
    403,
    "Nothing was changed: this page is read only.",
    "It was started with --read-only.",
    "Start quilt-packager admin without --read-only.",
)
