"""The outcome of a job as a record."""

import msgspec
from quilt_packager_runtime import errors
from quilt_packager_runtime.errors import EmptySource, PackagerError, Rejected, SourceChanged
from quilt_packager_runtime.formats.outcome import Outcome, Result

WORDS = {"why": "Nothing was uploaded.", "remedy": "Upload."}
ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, PackagerError)
]


def test_a_rejection_has_its_code_and_its_sentences() -> None:
    outcome = Outcome.from_error(EmptySource("No objects.", **WORDS))
    assert outcome.outcome is Result.REJECTED
    assert outcome.code == "EmptySource"
    assert outcome.reason == "No objects. Nothing was uploaded. Upload."


def test_an_error_that_a_retry_may_overcome_is_a_failure() -> None:
    assert Outcome.from_error(SourceChanged("It changed.", **WORDS)).outcome is Result.FAILED


def test_every_error_is_either_rejected_or_failed() -> None:
    for kind in ERRORS:
        outcome = Outcome.from_error(kind("It happened.", **WORDS))
        is_rejected = issubclass(kind, Rejected)
        assert outcome.outcome is (Result.REJECTED if is_rejected else Result.FAILED)
        assert outcome.code == kind.__name__


def test_an_error_names_a_known_package() -> None:
    outcome = Outcome.from_error(
        EmptySource("No objects.", **WORDS), package_name="runs/42", registry="packages"
    )
    assert (outcome.package_name, outcome.registry) == ("runs/42", "packages")


def test_a_record_has_stable_field_names() -> None:
    outcome = Outcome(outcome=Result.CREATED, package_name="runs/42")
    assert {"outcome": "created", "package_name": "runs/42"}.items() <= msgspec.to_builtins(
        outcome
    ).items()
