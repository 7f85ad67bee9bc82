"""Templates of package names, such as `{workflow_name}/{run_id}`, filled with fields of a run."""

import re
from collections.abc import Collection, Mapping

from quilt_packager_runtime.formats.names import (
    NOT_IN_PACKAGE_NAME,
    check_package_name,
    infer_package_name,
)
from quilt_packager_runtime.formats.objects import SourceFolder

FOLDER_FIELDS = ("bucket", "folder")
"""Fields of every source: its bucket, and the last component of its folder."""

_FIELD = re.compile(r"\{([^{}]*)\}")


def check_template(template: str, fields: Collection[str]) -> str:
    """Validate a template: every name that it makes must be valid.

    Args:
        template: The template.
        fields: Fields that it may use besides `FOLDER_FIELDS`.

    Raises:
        ValueError: A field is unknown, or the text around the fields is not valid.

    Example:
        >>> check_template("{workflow_name}/{run_id}", ["workflow_name", "run_id"])
        '{workflow_name}/{run_id}'
        >>> check_template("runs/{id}", ["run_id"])
        Traceback (most recent call last):
        ValueError: package_name 'runs/{id}' names {id}; there are bucket, folder, run_id
    """
    known = (*FOLDER_FIELDS, *fields)
    for name in _FIELD.findall(template):
        if name not in known:
            raise ValueError(
                f"package_name {template!r} names {{{name}}}; there are {', '.join(known)}"
            )
    try:
        check_package_name(_FIELD.sub("x", template))
    except ValueError as error:
        raise ValueError(f"package_name {template!r} makes no name: {error}") from error
    return template


def name_package(
    template: str | None, source: SourceFolder, values: Mapping[str, object]
) -> tuple[str, list[str]]:
    """Make a package's name from a template, or from its folder if a value is missing.

    Two runs without a run id, for example, must not become one package.

    Args:
        template: The template; None to use the folder.
        source: The folder.
        values: Known fields of the run; the template uses those that are strings.

    Returns:
        The name, which may be too long, and the missing fields.

    Example:
        >>> source = SourceFolder("raw", "out/42/")
        >>> name_package("{workflow_name}/{folder}", source, {"workflow_name": "nf-core/rna seq"})
        ('nf-core-rna-seq/42', [])
        >>> name_package("{workflow_name}/{folder}", source, {})
        ('out/42', ['workflow_name'])
    """
    if template is None:
        return infer_package_name(source.prefix), []
    folder = source.prefix.rstrip("/").rpartition("/")[2]
    known = {"bucket": source.bucket, "folder": folder, **values}
    names = dict.fromkeys(_FIELD.findall(template))
    texts = {
        name: NOT_IN_PACKAGE_NAME.sub("-", text)
        for name in names
        if isinstance(text := known.get(name), str) and text
    }
    missing = [name for name in names if name not in texts]
    if missing:
        return infer_package_name(source.prefix), missing
    return _FIELD.sub(lambda field: texts[field[1]], template), []
