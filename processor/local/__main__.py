"""``python -m processor.local``: what the Makefile calls before and beside ``hub-audit``."""

import argparse
import logging
import sys

from processor.local import environment
from processor.local.child import NotStarted
from processor.local.stack import Stack

DIRECTORY = environment.ROOT / ".local"


def up() -> None:
    """Start Kafka and Postgres, and say how to work with them."""
    stack = Stack(DIRECTORY)
    addresses = stack.up(outlive=True)
    print(f"Kafka     {addresses.bootstrap_servers}   log {stack.broker.log_file}")
    print(f"Postgres  {addresses.dsn}   log {stack.server.log_file}")
    print(f"settings  . {stack.env_file}        stop  make down")


def down() -> None:
    """Stop Kafka and Postgres; their data stay."""
    Stack(DIRECTORY).down()


def clean() -> None:
    """Stop Kafka and Postgres and delete their data."""
    Stack(DIRECTORY).remove()


COMMANDS = {
    "env": environment.prepare,
    "programs": environment.find_programs,
    "up": up,
    "down": down,
    "clean": clean,
}


def main() -> int:
    """Run one command; a problem is one message, not a traceback."""
    parser = argparse.ArgumentParser(prog="python -m processor.local", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        COMMANDS[parser.parse_args().command]()
    except NotStarted as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
