"""The table of mutations fits the specs, the code and the tests as they are; `make mutants` runs it."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.mutation.mutation import ROOT, VECTOR_TEST, WORDS, Mutation, rule_of, rules_of_specs
from tests.mutation.table import MUTATIONS

RULES = rules_of_specs()


@cache
def functions_of(path: str) -> frozenset[str]:
    """Return the names of the test functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_rule_has_a_mutation_and_every_mutation_a_rule() -> None:
    """Each rule of specs/README.md and each word of specs/tasks.md is taken out by some mutation; nothing else is."""
    assert len(RULES) > 60
    assert {rule_of(mutation.id, RULES) for mutation in MUTATIONS} == {*RULES, *WORDS}


def test_no_mutation_stands_twice() -> None:
    """Each mutation is another one."""
    assert len(set(MUTATIONS)) == len(MUTATIONS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[f"{n}-{found.id}" for n, found in enumerate(MUTATIONS)])
def test_a_mutation_fits(mutation: Mutation) -> None:
    """The text to replace stands once in a file of the code in use, is changed, and the named test exists."""
    assert not mutation.path.startswith("crdt/slow")
    source = (ROOT / mutation.path).read_text(encoding="utf-8")
    assert mutation.mutated(source) != source
    compile(mutation.mutated(source), mutation.path, "exec")
    path, _, name = mutation.test.partition("::")
    function, _, parameter = name.partition("[")
    assert function in functions_of(path)
    if mutation.test.startswith(f"{VECTOR_TEST}["):
        assert parameter.removesuffix("]") in RULES
