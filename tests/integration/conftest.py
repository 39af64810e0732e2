"""What the integration tests need beside Kafka and Postgres, and what is left out without it."""

from processor.local.environment import PROGRAMS, is_here

NEEDED = {"test_siem_consumer.py": "rsyslog's imkafka"}
"""By file of tests the program that it runs."""

MISSING = {file: name for file, name in NEEDED.items() if not any(map(is_here, PROGRAMS[name][0]))}
collect_ignore = list(MISSING)


def pytest_report_header() -> list[str]:
    """Say which tests cannot run here, and what would let them."""
    return [
        f"LEFT OUT: {file}, there is no {name} here: install {' and '.join(PROGRAMS[name][1])}"
        for file, name in MISSING.items()
    ]
