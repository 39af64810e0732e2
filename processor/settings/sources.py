"""Where settings are read from, and how what is wrong with them is said."""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

PREFIX = "HUB_AUDIT_"
CONFIG_VARIABLE = "HUB_AUDIT_CONFIG"
FILE_SUFFIX = "_FILE"
SUGGESTION_LIKENESS = 0.6

Paths = Sequence[tuple[str, ...]]
"""The settings that there are: each the names that lead to it."""


def paths(model: type[BaseModel]) -> Paths:
    """Return the path of every setting of a model, sections within sections."""
    return list(_paths(model))


def variables(known: Paths) -> dict[str, tuple[str, ...]]:
    """Return every environment variable that is read, and the path of the setting it sets."""
    return {_variable(path): path for path in known}


def read(
    known: Paths, config: Path | None, env: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return what file and environment say, the environment winning, and every problem found."""
    config = config or (Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None)
    problems: list[str] = []
    values = _from_file(config, problems)
    _overlay(values, _from_environment(variables(known), env, problems))
    return values, problems


def said(problem: Mapping[str, Any], known: Paths) -> str:
    """Return one sentence of a validation error, with the name to be changed and no value."""
    path = tuple(str(part) for part in problem["loc"])
    name = ".".join(path) or "settings"
    if problem["type"] == "extra_forbidden":
        return f"{name}: no such setting{_suggestion(name, ['.'.join(each) for each in known])}"
    place = f"{name} ({_variable(path)})" if path in known else name
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + "_".join(path).upper()


def _paths(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _paths(kind, (*above, name))
        else:
            yield (*above, name)


def _from_file(config: Path | None, problems: list[str]) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{config}: cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{config}: is not TOML: {error}")
    return {}


def _from_environment(
    known: Mapping[str, tuple[str, ...]], env: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable in sorted(env):
        direct = variable.removesuffix(FILE_SUFFIX)
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable in known:
            _put(values, known[variable], env[variable])
        elif direct in known:
            if direct in env:
                problems.append(f"{variable}: {direct} is set as well; unset one of them")
            elif (secret := _secret(variable, Path(env[variable]), problems)) is not None:
                _put(values, known[direct], secret)
        else:
            problems.append(f"{variable}: no such setting{_suggestion(variable, known)}")
    return values


def _secret(variable: str, file: Path, problems: list[str]) -> str | None:
    try:
        return file.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        problems.append(f"{variable}: {file} cannot be read: {why}")
        return None


def _put(values: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    *sections, name = path
    for section in sections:
        values = values.setdefault(section, {})
    values[name] = value


def _overlay(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    for name, value in over.items():
        below = values.get(name)
        if isinstance(value, Mapping) and isinstance(below, dict):
            _overlay(below, value)
        else:
            values[name] = value


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=SUGGESTION_LIKENESS)
    return f"; did you mean {close[0]}?" if close else ""
