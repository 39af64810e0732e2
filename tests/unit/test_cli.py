"""The command line, read as a stranger reads it: answers, complaints, exit codes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from processor.cli import main
from processor.local.port import free_port

AT = "2026-06-01T12:00:00"
LOGIN = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/hub/identity",
    "type": "identity.login.succeeded.v1",
    "time": "2026-06-01T11:59:59Z",
    "orgid": "acme",
    "data": {"actor": {"type": "user", "id": "u-1", "email": "Ada@Example.com"}, "method": "sso"},
}
REFRESH = LOGIN | {"type": "identity.token.refreshed.v1"}
NO_ACTOR = LOGIN | {"data": {"method": "sso"}}


def run(*arguments: str, stdin: str | None = None, **env: str) -> Result:
    """Run a command with nothing set but what is given; names without prefix."""
    given = {f"HUB_AUDIT_{name}": value for name, value in env.items()}
    return CliRunner(env=given).invoke(main, arguments, input=stdin)


def lines_of(*events: object) -> str:
    """Return events as lines of JSON."""
    return "".join(f"{json.dumps(event)}\n" for event in events)


def test_help_lists_every_command_in_a_moment() -> None:
    """Help names all commands and loads neither the Kafka client nor pydantic."""
    script = (
        "import sys; from processor.cli import main; main(['-h'], standalone_mode=False);"
        "sys.exit(bool({'aiokafka', 'asyncpg', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    commands = done.stdout.decode().partition("Commands:")[2]
    assert [line.split()[0] for line in commands.strip().splitlines()] == [
        *("config", "dead-letters", "defend", "demo", "doctor", "export", "forward", "maintain"),
        *("migrate", "normalize", "process", "recover", "republish", "search", "serve"),
        *("subscriptions", "tokens", "topics", "validate"),
    ]


@pytest.mark.parametrize(
    "command",
    [
        *(["process"], ["migrate"], ["topics", "create"], ["topics", "check"], ["doctor"]),
        *(["dead-letters", "list"], ["dead-letters", "redrive", "--yes"], ["recover", "--yes"]),
        *(["config", "show"], ["validate", "-"], ["normalize", "-"]),
    ],
    ids=" ".join,
)
def test_wrong_settings_stop_every_command(command: list[str]) -> None:
    """All problems are told, a line each; nothing is done; the exit code is 2."""
    result = run(*command, stdin=lines_of(LOGIN), LANES="none", HTTP_POTR="1")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "hub-audit: HUB_AUDIT_HTTP_POTR: no such setting; did you mean HUB_AUDIT_HTTP_PORT?",
        (
            "hub-audit: lanes (HUB_AUDIT_LANES): Input should be a valid integer, unable to parse "
            "string as an integer"
        ),
    ]


def test_process_does_not_start_without_bus_and_database() -> None:
    """A worker that reaches nothing says so of both, in a line each, and what to look at."""
    bus, database = free_port(), free_port()
    result = run(
        "process",
        KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{bus}",
        POSTGRES_DSN=f"postgresql://hub:s3cret@127.0.0.1:{database}/audit",
    )
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        (
            f"hub-audit: Kafka at 127.0.0.1:{bus} does not answer (KafkaConnectionError): "
            "check HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS"
        ),
        (
            "hub-audit: Postgres does not let us in (ConnectionRefusedError: [Errno 111] Connect "
            f"call failed ('127.0.0.1', {database})): check HUB_AUDIT_POSTGRES_DSN"
        ),
    ]


@pytest.mark.parametrize(
    "command",
    [
        *(["migrate"], ["dead-letters", "list"], ["tokens", "list", "acme"], ["republish"]),
        *(["subscriptions", "list"], ["maintain", "--once"], ["recover"]),
        *(["search", "--org", "acme"], ["export", "--org", "acme", "-o", "never.csv"]),
    ],
    ids=" ".join,
)
def test_database_that_is_away_is_named(command: list[str]) -> None:
    """A command ends with one line: what is away, where it should be, and what to do about it."""
    port = free_port()
    result = run(*command, POSTGRES_DSN=f"postgresql://hub:s3cret@127.0.0.1:{port}/audit")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        (
            f"hub-audit: Postgres at 127.0.0.1:{port} is away: ConnectionRefusedError: [Errno 111] "
            f"Connect call failed ('127.0.0.1', {port}); see whether it runs, check "
            "HUB_AUDIT_POSTGRES_DSN, and ask hub-audit doctor"
        )
    ]


@pytest.mark.parametrize("command", [["topics", "create"], ["topics", "check"]])
def test_bus_that_is_away_is_named(command: list[str]) -> None:
    """As the database is, by every command that needs it."""
    result = run(*command, KAFKA_BOOTSTRAP_SERVERS=(servers := f"127.0.0.1:{free_port()}"))
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"hub-audit: Kafka at {servers} ")
    assert line.endswith(
        "; see whether it runs, check HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS, and ask hub-audit doctor"
    )
    assert line.count(servers) == 1


def test_doctor_reports_in_json_as_well() -> None:
    """Every finding has its check, level, words and remedy; a problem makes the exit code 1."""
    bus, database = free_port(), free_port()
    result = run(
        *("doctor", "--json"),
        KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{bus}",
        POSTGRES_DSN=f"postgresql://127.0.0.1:{database}/audit",
        HTTP_PORT=str(free_port()),
    )
    assert result.exit_code == 1
    findings = json.loads(result.stdout)
    assert [(finding["check"], finding["level"]) for finding in findings] == [
        *(("versions", "ok"), ("encryption", "ok"), ("kafka", "problem"), ("postgres", "problem")),
        *(("issuer's keys", "ok"), ("cursor secret", "ok"), ("metrics", "ok")),
    ]
    assert findings[2]["fix"] == "check HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS"


def test_config_show_redacts() -> None:
    """Every setting is shown with its variable; a password is not."""
    result = run("config", "show", POSTGRES_DSN="postgresql://hub:s3cret@db/audit", LANES="6")
    assert result.exit_code == 0
    shown = result.stdout.splitlines()
    assert "HUB_AUDIT_POSTGRES_DSN=postgresql://hub:[redacted]@db/audit" in shown
    assert "HUB_AUDIT_LANES=6" in shown
    as_json = run("config", "show", "--json", LANES="6")
    assert json.loads(as_json.stdout)["lanes"] == 6


def test_config_option_names_the_file(tmp_path: Path) -> None:
    """Settings are read from the file that --config names."""
    file = tmp_path / "hub.toml"
    file.write_text("lanes = 5\n")
    assert "HUB_AUDIT_LANES=5\n" in run("--config", str(file), "config", "show").stdout


def test_validate_accepts_what_is_good() -> None:
    """Events that pass, and those that are no audit events, make the exit code 0."""
    result = run("validate", "--at", AT, "-", stdin=lines_of(LOGIN, REFRESH))
    assert (result.exit_code, result.stdout) == (0, "2 events, 0 rejected\n")


def test_validate_names_place_and_reason(tmp_path: Path) -> None:
    """What is rejected is told like a compiler does: file, line, reason, detail."""
    file = tmp_path / "events.ndjson"
    file.write_text(lines_of(LOGIN, NO_ACTOR) + "\n{\n")
    result = run("validate", "--at", AT, str(file))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{file}:2: missing_actor: $.data.actor",
        f"{file}:4: invalid_json: no JSON at character 1",
        "3 events, 2 rejected",
    ]


def test_validate_in_json() -> None:
    """For CI: how many, how many rejected, and the verdict on each."""
    stdin = json.dumps([LOGIN, REFRESH, NO_ACTOR], indent=2)
    result = run("validate", "--json", "--at", AT, "-", stdin=stdin)
    assert result.exit_code == 1
    kinds = {"type": "identity.login.succeeded.v1"}
    rejection = {"stage": "normalize", "reason": "missing_actor", "detail": "$.data.actor"}
    assert json.loads(result.stdout) == {
        "events": 3,
        "rejected": 1,
        "verdicts": [
            {"place": 1, **kinds, "end": "entry", "action": "auth.login_success"},
            {
                "place": 2,
                "type": "identity.token.refreshed.v1",
                "end": "discarded",
                "rule": "not_audited",
            },
            {"place": 3, **kinds, "end": "rejected", **rejection},
        ],
    }


@pytest.mark.parametrize("document", [json.dumps(LOGIN, indent=2), json.dumps(LOGIN)])
def test_file_may_be_one_document(document: str) -> None:
    """An event is found whether it is printed on one line or on many."""
    result = run("validate", "--at", AT, "-", stdin=document)
    assert (result.exit_code, result.stdout) == (0, "1 event, 0 rejected\n")


def test_event_goes_to_the_topic_of_its_type() -> None:
    """An event of any family is judged as if it stood on its family's topic."""
    role = {"id": "r-1", "name": "Auditor", "permissions": ["audit.view"]}
    event = LOGIN | {
        "type": "permission.role.created.v1",
        "data": {"actor": {"type": "system"}, "role": role},
    }
    result = run("normalize", "--at", AT, "-", stdin=lines_of(event), KAFKA_TOPIC_PREFIX="eu.")
    assert json.loads(result.stdout)["source"]["topic"] == "eu.raw.permission"


def test_empty_file_is_no_success() -> None:
    """A check that has seen no event must not look like one that passed."""
    assert run("validate", "-", stdin="").exit_code == 1


def test_old_event_is_rejected_as_of_now() -> None:
    """Without --at an event is judged by today's date."""
    result = run("validate", "-", stdin=lines_of(LOGIN | {"time": "2020-01-01T00:00:00Z"}))
    assert "-:1: older_than_retention: " in result.stdout


def test_normalize_prints_entries() -> None:
    """A line of JSON for each event: the entry, or what became of it otherwise."""
    result = run("normalize", "--at", AT, "-", stdin=lines_of(LOGIN, REFRESH, NO_ACTOR))
    assert result.exit_code == 1
    entry, discard, rejection = map(json.loads, result.stdout.splitlines())
    assert entry["action"] == "auth.login_success"
    assert entry["actor"] == {"type": "user", "id": "u-1", "email": "ada@example.com"}
    assert (discard["end"], discard["rule"]) == ("discarded", "not_audited")
    assert (rejection["end"], rejection["reason"]) == ("rejected", "missing_actor")


def test_normalize_explains() -> None:
    """A newcomer reads what each event becomes, where it goes, and with which headers."""
    stdin = lines_of(LOGIN, REFRESH, NO_ACTOR)
    result = run("normalize", "--explain", "--at", AT, "-", stdin=stdin)
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        "event 1: identity.login.succeeded.v1",
        "  is read from raw.identity",
        "  becomes auth.login_success (success) of acme",
        "  on hub.auth.login_success, key acme, with the headers",
    ]
    assert "    ce_time: 2026-06-01T11:59:59.000Z" in lines
    assert lines[-6:] == [
        "event 2: identity.token.refreshed.v1",
        "  is not an audit event, by the rule not_audited: counted, nothing is stored",
        "event 3: identity.login.succeeded.v1",
        "  is rejected by normalize: missing_actor",
        "  $.data.actor",
        "  and becomes a dead letter on hub.audit.dead_letters",
    ]


def test_type_cannot_move_the_cursor() -> None:
    """What an event says of itself reaches the terminal as harmless characters."""
    result = run("normalize", "--explain", "-", stdin=lines_of(LOGIN | {"type": "x\u202ey\u009b"}))
    assert "\u202e" not in result.stdout
    assert "\u009b" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--reason", "invalid"], "no such reason: invalid; there are empty_value, too_large"),
        (["raw.identity/1"], "raw.identity/1: TOPIC/PARTITION/OFFSET expected"),
        (["--limit", "0"], "0 is not in the range x>=1"),
    ],
    ids=["reason", "coordinates", "limit"],
)
def test_selection_that_makes_no_sense_is_refused(arguments: list[str], complaint: str) -> None:
    """A wrong reason, coordinates or limit is told before anything is asked of the database."""
    result = run("dead-letters", "redrive", *arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr


@pytest.mark.parametrize(
    "command", [["search"], ["export", "-o", "all.csv"]], ids=["search", "export"]
)
def test_what_is_not_wanted_of_a_log_is_no_option(command: list[str]) -> None:
    """A condition with a minus is read as one, so that a slip in it is told as such."""
    result = run(*command, "--org", "acme", "-outcom:success", "action:user.*")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no field 'outcom', did you mean outcome?" in result.stderr
    assert result.stderr.endswith("action:user.* -outcom:success\n               ^\n")


@pytest.mark.parametrize(
    ("at", "meant"),
    [
        ("2026-11-30T20:00:00Z", "2026-11-30T20:00:00.000Z"),
        ("2026-11-30T20:00:00.123Z", "2026-11-30T20:00:00.123Z"),
        ("2026-11-30T21:00:00+01:00", "2026-11-30T20:00:00.000Z"),
        ("2026-11-30 20:00:00", "2026-11-30T20:00:00.000Z"),
        ("2026-11-30", "2026-11-30T00:00:00.000Z"),
    ],
)
def test_instant_is_taken_as_it_is_shown(at: str, meant: str) -> None:
    """An entry's own times, and any other of ISO 8601; without a zone it is UTC."""
    event = LOGIN | {"time": "2026-11-29T12:00:00Z"}
    result = run("normalize", "--at", at, "-", stdin=lines_of(event))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["recorded_at"] == meant


@pytest.mark.parametrize(
    "command",
    [
        *(["validate", "-", "--at"], ["dead-letters", "list", "--since"], ["recover", "--since"]),
        ["subscriptions", "replay", "acme", "hub", "--since"],
    ],
    ids=" ".join,
)
def test_what_is_no_instant_is_told_how_to_be_one(command: list[str]) -> None:
    """Whatever takes one says the same, also where only a zone leads out of the calendar."""
    for at in ("yesterday", "30.11.2026", "0001-01-01T00:00:00+01:00"):
        result = run(*command, at)
        assert result.exit_code == 2
        assert f"'{at}' is no time in ISO 8601: write 2026-11-30, " in result.stderr
    assert "in UTC where no zone is given" in " ".join(run(*command[:-1], "--help").stdout.split())


def options_without_help(command: click.Command, path: str = "hub-audit") -> Iterator[str]:
    """Yield the options, of a command and of all below it, that say nothing of themselves."""
    yield from (
        f"{path} {option.name}"
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    )
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from options_without_help(below, f"{path} {name}")


def test_help_says_what_may_be_given() -> None:
    """Every option has a sentence; a format is one of those shown, a query begins as shown."""
    assert list(options_without_help(main)) == []
    usage = run("subscriptions", "create", "--help").stdout.split()
    assert usage[usage.index("ORGANIZATION") + 1] == "{hub|ocsf|ecs|cef}"
    for command in ("search", "export"):
        assert "outcome:failure actor:" in run(command, "--help").stdout
