"""`docs/reference/construct.md` documents every prop, member, metric, flag and output."""

import inspect
import json
import re
from pathlib import Path

from quilt_packager_runtime.settings import METRICS_NAMESPACE, Metric
from quilt_packager_runtime.settings.name_templates import FOLDER_FIELDS
from quilt_packager_runtime.settings.source_options import TEMPLATE_FIELDS

import quilt_packager
from quilt_packager import (
    CustomEvents,
    HealthOmicsRuns,
    ObjectsReady,
    ObjectUploads,
    PackagingEngine,
    PackagingEngineStack,
    WorkflowRunCrates,
    contract,
)
from quilt_packager.app.custom_rules import CustomRule
from quilt_packager.app.flags import describe_flags
from quilt_packager.app.source_flags import SOURCES
from quilt_packager.app.stack import StackOptions
from quilt_packager.engine.props import EngineProps
from quilt_packager.event_sources.package_options import CommonOptions, PackageOptions
from quilt_packager.monitoring.alarms import AlarmThresholds
from tests.constructs.templates import add_engine, make_flagged_stack, make_stack, template_of

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "construct.md").read_text("utf-8")


def section(heading: str) -> str:
    """The text from a heading to the next of its rank or above."""
    found = re.search(
        rf"^(#+) {heading}\n(.*?)(?=^#{{1,2}} |\Z)", REFERENCE, re.DOTALL | re.MULTILINE
    )
    assert found, f"no section {heading}"
    return re.split(rf"^{found[1]} ", found[2], flags=re.MULTILINE)[0]


def cells(heading: str) -> set[str]:
    """The names in the first cells of a section's tables."""
    firsts = re.findall(r"^\| (.+?) \|", section(heading), re.MULTILINE)
    return {name for cell in firsts for name in re.findall(r"`([\w:.]+)", cell)}


def props(construct: type) -> set[str]:
    names = set(inspect.signature(construct.__init__).parameters) - {"self", "options"}  # type: ignore[misc]
    if construct is PackagingEngine:
        names = (names - {"props"}) | EngineProps.__annotations__.keys()
    return names - {"scope", "construct_id"} if "scope" in names else names


def test_reference_has_every_prop() -> None:
    for construct in (
        PackagingEngine,
        HealthOmicsRuns,
        WorkflowRunCrates,
        ObjectsReady,
        ObjectUploads,
        CustomEvents,
        PackagingEngineStack,
    ):
        assert props(construct) <= cells(construct.__name__)


def test_reference_has_every_option_of_the_stack() -> None:
    assert StackOptions.__optional_keys__ <= cells("PackagingEngineStack")


def test_reference_has_no_other_props() -> None:
    engine = add_engine(make_stack())
    known = props(PackagingEngine) | {name for name in dir(engine) if not name.startswith("_")}
    metrics = {*Metric, "code", "reason", "RULE_ARN", "ERROR_CODE"}
    assert cells("PackagingEngine") <= known | metrics


def test_reference_has_every_member() -> None:
    members = {
        name
        for name in dir(add_engine(make_stack()))
        if not name.startswith("_") and name not in {"node", "to_string", "is_construct", "with_"}
    }
    assert members <= cells("PackagingEngine")


def test_reference_has_every_option_of_monitoring() -> None:
    thresholds = section("Alarms")
    assert all(f"| `{name}`" in thresholds for name in AlarmThresholds.__optional_keys__)
    options = set(inspect.signature(PackagingEngine.add_dashboard).parameters) - {"self"}
    assert all(f"`{name}`" in section("Dashboard") for name in options)


def test_reference_has_every_metric() -> None:
    assert METRICS_NAMESPACE in section("Metrics")
    assert all(f"`{metric}`" in section("Metrics") for metric in Metric)


def test_reference_has_exactly_these_flags_with_their_defaults() -> None:
    row = re.compile(r"^\| `(quilt:\w+)` \|.*\| `(.*?)`[^|]*\|$", re.MULTILINE)
    rows = row.findall(section("Context flags"))
    assert rows == [(flag, json.dumps(value)) for flag, (_, value) in describe_flags().items()]


def test_reference_has_every_option_of_the_flag_for_sources() -> None:
    text = section("Options of sources")
    assert cells("Options of sources") == set(SOURCES)
    fields = {name for each in SOURCES.values() for name in each.options.__struct_fields__}
    assert all(f"`{name}`" in text for name in fields)


def test_flag_for_sources_has_every_option_of_the_constructs() -> None:
    constructs = {
        contract.OMICS: HealthOmicsRuns,
        contract.CRATES: WorkflowRunCrates,
        contract.EDP: ObjectsReady,
    }
    others = {"statuses", "buckets", "event_bus", "enabled", "construct_id"}
    for name, construct in constructs.items():
        options = (props(construct) - others) | PackageOptions.__optional_keys__
        assert set(SOURCES[name].options.__struct_fields__) == options
    # `quilt:uploads` has the props of `ObjectUploads` itself.
    assert (
        set(SOURCES[contract.UPLOADS].options.__struct_fields__) == CommonOptions.__optional_keys__
    )


def test_reference_has_every_field_of_custom_rules() -> None:
    assert cells("Custom rules") == set(CustomRule.__struct_fields__)


def test_reference_has_every_option_of_event_sources() -> None:
    text = section("Event sources")
    options = PackageOptions.__optional_keys__
    assert {option for option in options if f"| `{option}` |" not in text} == set()


def test_how_to_has_every_field_of_a_template() -> None:
    how_to = (DOCS / "how-to" / "event-sources.md").read_text("utf-8")
    fields = {name for names in TEMPLATE_FIELDS.values() for name in names}
    assert all(f"`{name}`" in how_to for name in fields | set(FOLDER_FIELDS))


def test_reference_has_every_output() -> None:
    assert set(template_of(make_flagged_stack())["Outputs"]) <= cells("PackagingEngineStack")


def test_reference_has_every_public_name() -> None:
    internal = {"BundlingError", "ContextError"}
    assert all(name in REFERENCE for name in {*quilt_packager.__all__} - internal)
