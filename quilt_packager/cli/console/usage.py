"""Wrong calls of the command, in its own words: the parser and its library have others."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

import typer

QUOTED = re.compile(r"'([^']*)'")
UNKNOWN_COMMAND = re.compile(r"No such command '(?P<name>[^']*)'")
EXTRA_ARGUMENTS = re.compile(
    r"Got unexpected extra arguments?(?:\(s\))? \((?P<words>.*)\)", re.DOTALL
)
CHOICES = " is not one of "

NOT_A_NUMBER = {
    "int_parsing": "not a whole number.",
    "int_from_float": "not a whole number.",
    "float_parsing": "not a number.",
}
LIMITS = {"greater_than_equal": ("ge", "minimum"), "less_than_equal": ("le", "maximum")}


def did_you_mean(text: str, known: Collection[str]) -> str:
    """Return the question for the similar one of some names; empty if none is similar.

    Example:
        >>> did_you_mean("queue", ["queued", "created"])
        ' Did you mean queued?'
        >>> did_you_mean("x", ["failed"])
        ''
    """
    by_folded = {each.casefold(): each for each in known}
    similar = get_close_matches(text.casefold(), by_folded, n=1)
    return f" Did you mean {by_folded[similar[0]]}?" if similar else ""


def describe_usage(error: typer.TyperException) -> tuple[str, str]:
    """Return what is wrong with a call, and why."""
    option = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        return f"No such option: {option}.{did_you_mean(option, error.possibilities or ())}", ""
    found = getattr(error.__cause__, "errors", None)
    if found is None:
        return _describe_call(error), ""
    violation: Mapping[str, Any] = found()[0]
    names = _names(error)
    value = violation.get("input")
    return f"Invalid {names}: {value}{_limit(violation)}", _explain(violation)


def _describe_call(error: typer.TyperException) -> str:
    text = error.format_message()
    if unknown := UNKNOWN_COMMAND.match(text):
        known = getattr(getattr(error, "ctx", None), "command", None)
        name = unknown["name"]
        return f"No such command: {name}.{did_you_mean(name, getattr(known, 'commands', {}))}"
    if extra := EXTRA_ARGUMENTS.match(text):
        return f"Unexpected arguments: {extra['words']}"
    return text.replace("'", "")


def sentence(text: str) -> str:
    """Return a phrase as a sentence.

    Example:
        >>> sentence("an S3 URI begins with s3://")
        'An S3 URI begins with s3://.'
    """
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "." if text else ""


def _names(error: typer.TyperException) -> str:
    parameter = getattr(error, "param", None)
    if parameter is None:
        return "value"
    options = [each for each in parameter.opts if each.startswith("-")]
    return max(options, key=len) if options else str(parameter.metavar or parameter.name)


def _limit(violation: Mapping[str, Any]) -> str:
    if violation["type"] not in LIMITS:
        return ""
    key, word = LIMITS[violation["type"]]
    return f" ({word} {violation['ctx'][key]:,})"


def _explain(violation: Mapping[str, Any]) -> str:
    kind, value = violation["type"], str(violation.get("input"))
    if kind in LIMITS:
        return ""
    if kind in NOT_A_NUMBER:
        return f"It is {NOT_A_NUMBER[kind]}"
    said = str(violation.get("ctx", {}).get("error", ""))
    if CHOICES not in said:
        return sentence(said)
    choices = QUOTED.findall(said.rpartition(CHOICES)[2])
    return f"The values are: {', '.join(choices)}.{did_you_mean(value, choices)}"
