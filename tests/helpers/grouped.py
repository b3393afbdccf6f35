"""Many small cases as few tests: `@over("primitive, sample", CASES, by_name)` in place of `pytest.mark.parametrize`.

pytest takes some milliseconds for each test, longer than most of these cases. All cases of a group are run, whichever
fail, and the failure names those that did.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import tinytensor

Test = Callable[..., None]


def over(names: str, cases: Mapping[str, Any], group: Callable[[str], str] | int = 25) -> Callable[[Test], Test]:
    """Parametrize a test by cases, {id: values}. group: the name of a case's group, or how many cases a group has."""
    arguments = [name.strip() for name in names.split(",")]
    groups: dict[str, dict[str, Any]] = {}
    for i, (case, values) in enumerate(cases.items()):
        name = f"from {i // group * group}" if isinstance(group, int) else group(case)
        groups.setdefault(name, {})[case] = values if len(arguments) > 1 else (values,)

    def decorate(test: Test) -> Test:
        def all_of(group: str, **fixtures: Any) -> None:
            failed: dict[str, BaseException] = {}
            for case, values in groups[group].items():
                tinytensor.manual_seed(0)  # as before each test
                try:
                    test(**dict(zip(arguments, values, strict=True)), **fixtures)
                except (Exception, pytest.fail.Exception) as error:
                    failed[case] = error
            if failed:
                told = "".join(f"\n{case}: {type(error).__name__}: {error}" for case, error in failed.items())
                first = next(iter(failed.values()))
                raise AssertionError(f"{len(failed)} of {len(groups[group])} cases failed:{told}") from first

        signature = inspect.signature(test)
        of_group = inspect.Parameter("group", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        fixtures = [p for name, p in signature.parameters.items() if name not in arguments]
        all_of.__signature__ = signature.replace(parameters=[of_group, *fixtures])  # type: ignore[attr-defined]
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(all_of, name, getattr(test, name))
        return pytest.mark.parametrize("group", groups)(all_of)

    return decorate


def by_name(case: str) -> str:
    """The group of a case whose id is NAME-NUMBER: NAME."""
    return case.rpartition("-")[0]


def by_module(case: str) -> str:
    """The group of a dotted name: all but its last part."""
    return case.rpartition(".")[0]
