"""What SIEM engineers are given: configurations that can be read, and a guide that is true."""

import contextlib
import io
import json
import re
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.generate import ROOT
from schemas.subscription import topic_of
from tests.contract.siem_examples import SIEM as EXAMPLES
from tests.property.test_cef import parse_cef, parse_syslog, unescape

SIEM = ROOT.parent / "deploy" / "siem"
GUIDE = (SIEM / "README.md").read_text()

# By configuration what has to stand in it, to the letter, for committed data alone.
COMMITTED = {
    "rsyslog/hub-audit.conf": '"isolation.level=read_committed"',
    "kafka-connect/worker.properties": "\nconsumer.isolation.level=read_committed\n",
    "vector/vector.yaml": "isolation.level: read_committed\n",
    "logstash/hub-audit.conf": 'isolation_level => "read_committed"\n',
    "fluent-bit/fluent-bit.yaml": "rdkafka.isolation.level: read_committed\n",
    "filebeat/filebeat.yml": "    isolation_level: read_committed\n",
    "redpanda-connect/hub-audit.yaml": "transaction_isolation_level: read_committed\n",
}
CONNECTORS = (
    "kafka-connect/file.properties",
    "kafka-connect/elasticsearch.properties",
    "splunk/hub-audit.properties",
)
RUN_HERE = {
    "rsyslog/hub-audit.conf": "test_siem_rsyslog.py",
    "kafka-connect/worker.properties": "test_siem_connect.py",
    "kafka-connect/file.properties": "test_siem_connect.py",
}
EVERY = (*COMMITTED, *CONNECTORS)


@pytest.mark.parametrize("path", EVERY)
def test_configuration_begins_with_isolation_and_id(path: str) -> None:
    """Its head says that committed data is to be read, which id to keep, whether it was run."""
    text = (SIEM / path).read_text()
    head = text.partition("\n\n")[0] if path in CONNECTORS else text[:1200]
    assert "read_committed" in head
    said = " ".join(text[:1600].replace("#", " ").split())
    assert "idempotent id" in said or "one line for each id" in said
    if path in RUN_HERE:
        assert f"tests/integration/{RUN_HERE[path]}" in text
        assert (ROOT.parent / "tests" / "integration" / RUN_HERE[path]).exists()
    else:
        assert "NOT run here" in text


@pytest.mark.parametrize("path", COMMITTED)
def test_configuration_reads_committed_data(path: str) -> None:
    """The setting stands there, and not in a comment alone."""
    lines = [n for n in (SIEM / path).read_text().splitlines() if not n.lstrip().startswith("#")]
    assert COMMITTED[path] in "\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", [path for path in EVERY if path.endswith(("yaml", "yml"))])
def test_yaml_can_be_read(path: str) -> None:
    """A slip of indentation is found here, not on the evening of the roll-out."""
    assert isinstance(yaml.safe_load((SIEM / path).read_text()), dict)


@pytest.mark.parametrize("path", [path for path in EVERY if path.endswith("properties")])
def test_properties_can_be_read(path: str) -> None:
    """Each line is a comment or a setting, and none is there twice."""
    lines = [n for n in (SIEM / path).read_text().splitlines() if n and not n.startswith("#")]
    names = [line.partition("=")[0] for line in lines]
    assert all("=" in line for line in lines)
    assert len(set(names)) == len(names)


def test_filebeat_replaces_what_has_the_same_id() -> None:
    """With an id it creates and no more unless told otherwise: of equal heartbeats the first."""
    beat = yaml.safe_load((SIEM / "filebeat" / "filebeat.yml").read_text())
    names = [name for each in beat["processors"] for name in each]
    assert names == ["decode_json_fields", "copy_fields", "add_fields"]
    added = beat["processors"][names.index("add_fields")]["add_fields"]
    assert added == {"target": "@metadata", "fields": {"op_type": "index"}}


def test_filebeat_makes_no_template_of_its_own() -> None:
    """Its own would make the index a data stream, which refuses what replaces a document."""
    beat = yaml.safe_load((SIEM / "filebeat" / "filebeat.yml").read_text())
    assert beat["setup.template.enabled"] is False
    assert GUIDE.index("elasticsearch-template.json") < GUIDE.index("## Consume")


def test_vector_keeps_the_numbers_that_prove_completeness() -> None:
    """A header is one value there, no list, and what a heartbeat says by itself is not erased."""
    source = yaml.safe_load((SIEM / "vector" / "vector.yaml").read_text())["transforms"]["told"]
    for label in ("hub_previous_seq", "hub_through_seq"):
        kept = f".labels.{label} = string(.kafka_headers.{label}) ?? .labels.{label}\n"
        assert kept in source["source"]
    removed = set(re.findall(r"^del\(\.(\w+)\)$", source["source"], re.MULTILINE))
    added = {"message_key", "source_type", "offset", "partition", "topic", "timestamp"}
    assert removed == added | {"kafka_headers"}


def test_vector_sends_again_what_elasticsearch_had_no_room_for() -> None:
    """An answer to a bulk is a success however little of it was taken; ids make a repeat safe."""
    sink = yaml.safe_load((SIEM / "vector" / "vector.yaml").read_text())["sinks"]["elasticsearch"]
    assert sink["request_retry_partial"] is True
    assert sink["id_key"] == "hub_document_id"
    assert sink["bulk"]["action"] == "index"


def test_what_is_committed_before_it_is_stored_lies_on_disk() -> None:
    """Fluent Bit and Logstash commit what they have taken: in memory a crash would lose it."""
    fluent = yaml.safe_load((SIEM / "fluent-bit" / "fluent-bit.yaml").read_text())
    assert fluent["service"]["storage.path"]
    assert [each["storage.type"] for each in fluent["pipeline"]["inputs"]] == ["filesystem"]
    (pipeline,) = yaml.safe_load((SIEM / "logstash" / "pipelines.yml").read_text())
    assert (pipeline["queue.type"], pipeline["queue.checkpoint.writes"]) == ("persisted", 1)
    assert Path(pipeline["path.config"]).name == "hub-audit.conf"
    assert "`pipelines.yml`" in GUIDE


def test_connectors_filter_heartbeats_in_the_way_that_is_run() -> None:
    """What was not run has, to the letter, the filter of what was."""
    run, *others = [
        {line for line in (SIEM / path).read_text().splitlines() if re.match("transf|predic", line)}
        for path in CONNECTORS
    ]
    assert len(run) == 6
    assert [run, run] == others


def test_splunk_takes_the_time_from_the_event() -> None:
    """The connector sends events, of which Splunk takes fields but looks for no time by itself."""
    sink = (SIEM / "splunk" / "hub-audit.properties").read_text()
    props, transforms = (
        read_conf(SIEM / "splunk" / name) for name in ("props.conf", "transforms.conf")
    )
    assert "\nsplunk.hec.raw=false\n" in sink
    (sourcetype,) = re.findall(r"^splunk\.sourcetypes=(.+)$", sink, re.MULTILINE)
    assert not [name for name in props[sourcetype] if name.startswith("TIME")]
    evaluated = transforms[props[sourcetype]["TRANSFORMS-time"]]["INGEST_EVAL"]
    (path,) = re.findall(r'_time=.*json_extract\(_raw, "(\w+)"\)\) / 1000', evaluated)
    example = json.loads((EXAMPLES / "ocsf" / "auth.login_failed.json").read_text())
    assert len(str(example[path])) == len("1795428120123")


def test_splunk_takes_time_and_fields_from_cef() -> None:
    """By the source type that the connector has as an alternative; no value ends at a space."""
    sink = (SIEM / "splunk" / "hub-audit.properties").read_text()
    props, transforms = (
        read_conf(SIEM / "splunk" / name) for name in ("props.conf", "transforms.conf")
    )
    (sourcetype,) = re.findall(r"^# .*splunk\.sourcetypes=(\S+)$", sink, re.MULTILINE)
    stanza = props[sourcetype]
    assert (stanza["TRUNCATE"], stanza["KV_MODE"]) == ("0", "none")
    evaluated = transforms[stanza["TRANSFORMS-time"]]["INGEST_EVAL"]
    (pattern,) = re.findall(r'_time=.*replace\(_raw, "(.+)", "\\1"\)\) / 1000', evaluated)
    fields = transforms[stanza["REPORT-fields"]]
    assert fields["FORMAT"] == "$1::$2"
    for path in (EXAMPLES / "cef").iterdir():
        text = path.read_text().rstrip("\n")
        _, extension = parse_cef(parse_syslog(text).text)
        assert re.sub(pattern, r"\1", text) == extension["rt"]
        found = {key: unescape(value) for key, value in re.findall(fields["REGEX"], text)}
        assert found == extension, path.name


def test_splunk_reads_large_events() -> None:
    """Twenty times as much as it would by itself, by a file that the guide names."""
    limits = read_conf(SIEM / "splunk" / "limits.conf")
    assert int(limits["spath"]["extraction_cutoff"]) == 20 * 5_000
    assert "`limits.conf`" in GUIDE


def read_conf(path: Path) -> ConfigParser:
    """Return a file of Splunk's, whose names have capitals."""
    parser = ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its page says
    parser.read(path)
    return parser


def test_template_of_elasticsearch_has_the_types_of_ecs() -> None:
    """Fields that are no text in an example have a type in the template."""
    template = json.loads((SIEM / "elasticsearch-template.json").read_text())
    properties = template["template"]["mappings"]["properties"]
    example = json.loads((EXAMPLES / "ecs" / "auth.login_failed.json").read_text())
    assert [path for path in numbers(example) if typed(properties, path) != "long"] == []
    for path in ("source.ip", "related.ip"):
        assert typed(properties, path) == "ip"
    assert typed(properties, "@timestamp") == typed(properties, "event.created") == "date"


def test_template_of_elasticsearch_makes_no_date_of_a_text() -> None:
    """A first reason or name that looks like one would make a field that refuses all others."""
    template = json.loads((SIEM / "elasticsearch-template.json").read_text())
    mappings = template["template"]["mappings"]
    assert mappings["date_detection"] is False
    fluent = yaml.safe_load((SIEM / "fluent-bit" / "fluent-bit.yaml").read_text())
    (output,) = fluent["pipeline"]["outputs"]
    assert typed(mappings["properties"], output["time_key"]) == "date"


@pytest.mark.parametrize("index", ["hub-audit", topic_of("acme", "ecs")])
def test_template_of_elasticsearch_is_for_every_index(index: str) -> None:
    """For the one that most configurations write to, and Kafka Connect's, named as the topic."""
    template = json.loads((SIEM / "elasticsearch-template.json").read_text())
    assert any(fnmatch(index, pattern) for pattern in template["index_patterns"])


def numbers(node: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the paths at which a document holds numbers."""
    found: list[str] = []
    for key, value in node.items():
        if isinstance(value, dict):
            found += numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int):
            found.append(prefix + key)
    return found


def typed(properties: dict[str, Any], path: str) -> str | None:
    """Return the type that a template gives to a path."""
    outer, _, rest = path.partition(".")
    node = properties.get(outer, {})
    return typed(node.get("properties", {}), rest) if rest else node.get("type")


def test_guide_names_every_configuration() -> None:
    """And says of each whether it was run, as the file itself does."""
    for path in EVERY:
        (row,) = [
            line
            for line in GUIDE.splitlines()
            if line.startswith(f"| `{path.partition('/')[0]}/") and path.partition("/")[2] in line
        ]
        assert ("yes, by a test" in row) == (path in RUN_HERE)


@pytest.mark.parametrize("path", EVERY)
def test_guide_names_what_a_configuration_takes(path: str) -> None:
    """Each variable that it reads, comments aside, stands in the row of who takes it."""
    lines = [n for n in (SIEM / path).read_text().splitlines() if not n.lstrip().startswith("#")]
    for variable in re.findall(r"HUB_SIEM_\w+", "\n".join(lines)):
        (row,) = re.findall(rf"^\| .*`{variable}`.*\|$", GUIDE, re.MULTILINE)
        taken_by = row.split("|")[3]
        program = path.partition("/")[0]
        assert {path, program} & set(re.findall("`(.*?)`", taken_by)) or "all" in taken_by


def test_connect_finds_connectors_with_and_without_a_manifest() -> None:
    """Those of Elasticsearch and Splunk have none, and are found by scanning a path alone."""
    worker = (SIEM / "kafka-connect" / "worker.properties").read_text()
    assert "plugin.discovery" not in worker
    (path,) = re.findall(r"^plugin\.path=(.+)$", worker, re.MULTILINE)
    assert "$" not in path, "Connect reads it before it asks the environment"


class Record:
    """A record as a Kafka client hands it over."""

    def __init__(self, previous: int, through: int, **others: bytes) -> None:
        """Keep its headers."""
        said = {"hub_previous_seq": b"%d" % previous, "hub_through_seq": b"%d" % through}
        self._headers = list((said | others).items())

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the headers."""
        return self._headers


WHOLE = [Record(0, 3), Record(3, 3, hub_test=b"x"), Record(0, 1, hub_replay=b"x"), Record(3, 9)]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (WHOLE, ""),
        ([*WHOLE, Record(11, 12)], "missing: what came after 9 up to 11\n"),
        ([*WHOLE[:1], Record(9, 10)], "missing: what came after 3 up to 9\n"),
    ],
)
def test_proof_of_the_guide_proves(records: list[Record], said: str) -> None:
    """The program in the guide finds a hole, and none in a whole chain, replays and tests aside."""
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(program, {"records": records})  # noqa: S102 - what readers are told to run
    assert output.getvalue() == said
