"""The policy of a worker: whatever no single rule allows entirely is denied, and says what is missing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from ledger.cid import Cid
from ledger.keys import ActorKey, did_key
from ledger.operations import Spec
from scheduler.running.files import FileRef
from scheduler.running.job import Level, Limits, Mount, Permit
from scheduler.running.payloads import Command, Payload, WorkflowJob
from scheduler.working.policy import EMPTY_POLICY, Denial, PayloadKind, Rule, WorkerPolicy, judge
from tests.support.worlds import signing_key

ALICE: Final = signing_key("alice").actor
MALLORY: Final = signing_key("mallory").actor

SPEC: Final = Spec("t", "w", "a task", ("p2p-only",), ("linux",))
COMMAND: Final = Command(argv=("make", "test"))
SCRIPT: Final = Command(script="echo x", interpreter="bash")
JOB: Final = WorkflowJob(FileRef(1, (Cid.of_raw(b"x"),)), ".github/workflows/ci.yml", "build")
RULE: Final = Rule(
    "own",
    submitters=frozenset((ALICE,)),
    payloads=frozenset(PayloadKind),
    tags=frozenset(("p2p-only",)),
    labels=frozenset(("linux", "gpu")),
    interpreters=frozenset(("bash",)),
    programs=("make", "git*"),
    workflows=(".github/workflows/*.yml",),
    network=True,
    secrets=frozenset(("TOKEN",)),
    mounts=(Mount(Path("/srv"), "/srv"),),
    env={"LANG": "C.UTF-8"},
    limits=Limits(time_ms=60_000),
)


def ask(rule: Rule, payload: Payload = COMMAND, submitter: ActorKey = ALICE, **spec: Any) -> Permit | Denial:
    """Return the verdict of a policy of one rule."""
    return judge(WorkerPolicy((rule,)), submitter, replace(SPEC, **spec), payload)


@pytest.mark.parametrize("payload", [COMMAND, SCRIPT, JOB], ids=("command", "script", "job"))
def test_nothing_is_allowed_without_a_rule(payload: Payload) -> None:
    """No policy, one without rules and a rule that says nothing deny everything, and say so."""
    for policy in (EMPTY_POLICY, WorkerPolicy(), WorkerPolicy((Rule("empty"),))):
        verdict = judge(policy, ALICE, SPEC, payload, is_member=True)
        assert isinstance(verdict, Denial)
        assert verdict.reasons
    assert "worker policy init" in EMPTY_POLICY.trouble


@pytest.mark.parametrize("payload", [COMMAND, SCRIPT, JOB], ids=("command", "script", "job"))
def test_what_a_rule_allows_entirely_is_permitted(payload: Payload) -> None:
    """A permit carries what the rule gives, and of what can be asked for only what was asked for."""
    verdict = ask(RULE, payload)
    assert isinstance(verdict, Permit)
    assert (verdict.rule, verdict.level, verdict.mounts, verdict.env) == ("own", RULE.level, RULE.mounts, RULE.env)
    assert not verdict.network
    assert not verdict.secrets
    asking = ask(RULE, replace(payload, network=True))
    assert isinstance(asking, Permit)
    assert asking.network


DEMANDS: Final[dict[str, tuple[Rule, Payload, dict[str, Any], str]]] = {
    "submitter": (replace(RULE, submitters=frozenset()), COMMAND, {}, f"submitters does not list {did_key(ALICE)}"),
    "kind": (replace(RULE, payloads=frozenset((PayloadKind.COMMAND,))), JOB, {}, "does not list 'workflow-job'"),
    "tags": (RULE, COMMAND, {"tags": ("p2p-only", "x")}, "tags does not list 'x'"),
    "labels": (RULE, COMMAND, {"requires": ("arm",)}, "labels does not list 'arm'"),
    "interpreter": (RULE, replace(SCRIPT, interpreter="perl"), {}, "interpreters does not list 'perl'"),
    "program": (RULE, Command(argv=("rm", "-r")), {}, "programs has no pattern for 'rm'"),
    "path": (RULE, replace(COMMAND, env={"PATH": "."}), {}, "it sets PATH"),
    "loader": (RULE, replace(COMMAND, env={"LD_PRELOAD": "x"}), {}, "it sets LD_PRELOAD"),
    "workflow": (RULE, replace(JOB, path="evil.yml"), {}, "workflows has no pattern for 'evil.yml'"),
    "network": (replace(RULE, network=False), replace(COMMAND, network=True), {}, "asks for the network"),
    "secret": (RULE, replace(COMMAND, secrets=("TOKEN", "OTHER")), {}, "secrets does not list 'OTHER'"),
    "level": (
        replace(RULE, level=Level.PROCESS),
        replace(COMMAND, sandbox="bubblewrap"),
        {},
        "demands the sandbox 'bubblewrap', and sandbox is 'process'",
    ),
    "unknown level": (RULE, replace(COMMAND, sandbox="vm"), {}, "'vm', which is not known here"),
}


@pytest.mark.parametrize("name", DEMANDS)
def test_each_demand_alone_is_denied_with_its_reason(name: str) -> None:
    """One thing that the rule does not give is enough to deny, and is the only reason."""
    rule, payload, spec, words = DEMANDS[name]
    verdict = ask(rule, payload, **spec)
    assert isinstance(verdict, Denial)
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith("rule 'own': ")
    assert words in verdict.reasons[0]
    assert verdict.reasons[0].count(";") == 0


def test_rules_do_not_add_up() -> None:
    """What two rules allow together, and neither alone, is denied; with a third that has both it is allowed."""
    network = replace(RULE, name="network", interpreters=frozenset())
    scripts = replace(RULE, name="scripts", network=False)
    payload = replace(SCRIPT, network=True)
    denied = judge(WorkerPolicy((network, scripts)), ALICE, SPEC, payload)
    assert isinstance(denied, Denial)
    assert [reason.split("'")[1] for reason in denied.reasons] == ["network", "scripts"]
    for order in itertools.permutations((network, scripts, RULE)):
        verdict = judge(WorkerPolicy(order), ALICE, SPEC, payload)
        assert isinstance(verdict, Permit)
        assert verdict.rule == "own"


def test_the_first_rule_that_allows_decides() -> None:
    """The order of the file counts: the permit is that of the first rule that fits."""
    first = replace(RULE, name="first", limits=Limits(time_ms=1_000))
    for order, name in (((first, RULE), "first"), ((RULE, first), "own")):
        verdict = judge(WorkerPolicy(order), ALICE, SPEC, COMMAND)
        assert isinstance(verdict, Permit)
        assert verdict.rule == name


def test_the_nearest_rules_are_named() -> None:
    """A rule about this submitter is nearer than one that lacks fewer things but is about others."""
    strangers = replace(RULE, name="strangers", submitters=frozenset((MALLORY,)))
    far = replace(RULE, name="far", network=False, secrets=frozenset())
    verdict = judge(WorkerPolicy((strangers, far)), ALICE, SPEC, replace(COMMAND, network=True, secrets=("TOKEN",)))
    assert isinstance(verdict, Denial)
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith("rule 'far'")


def test_any_member_is_no_stranger() -> None:
    """`any-member` speaks of owners and the admitted; who may merely submit to an open ledger is neither."""
    rule = replace(RULE, submitters=frozenset(), any_member=True)
    policy = WorkerPolicy((rule,))
    assert isinstance(judge(policy, MALLORY, SPEC, COMMAND, is_member=True), Permit)
    denied = judge(policy, MALLORY, SPEC, COMMAND)
    assert isinstance(denied, Denial)
    assert "no member" in denied.reasons[0]


@pytest.mark.parametrize(("demanded", "level"), [("process", "bubblewrap"), ("bubblewrap", "bubblewrap"), (None, None)])
def test_a_weaker_demand_gets_the_level_of_the_policy(demanded: str | None, level: str | None) -> None:
    """Nobody who submits can have a run kept apart less than the policy says."""
    verdict = ask(RULE, replace(COMMAND, sandbox=demanded))
    assert isinstance(verdict, Permit)
    assert verdict.level == (level or RULE.level)


@pytest.mark.parametrize(
    ("rule_ms", "task_ms", "wanted"), [(60_000, 5_000, 5_000), (60_000, 90_000, 60_000), (None, 7, 7), (9, None, 9)]
)
def test_the_shorter_time_counts(rule_ms: int | None, task_ms: int | None, wanted: int) -> None:
    """A task's own timeout makes the time of the rule shorter, never longer."""
    verdict = ask(replace(RULE, limits=Limits(time_ms=rule_ms)), timeout_ms=task_ms)
    assert isinstance(verdict, Permit)
    assert verdict.limits.time_ms == wanted


def test_what_is_not_said_is_not_asked_about() -> None:
    """Tags, labels, programs and workflows that a rule leaves out are any."""
    rule = replace(RULE, tags=None, labels=None, programs=None, workflows=None)
    assert isinstance(ask(rule, Command(argv=("rm",)), tags=("z",), requires=("arm",)), Permit)
    assert isinstance(ask(rule, replace(JOB, path="a.yml")), Permit)


@pytest.mark.parametrize("program", ["git-x/run", "make/../x", "./make", "/usr/bin/make"])
def test_a_pattern_for_a_name_fits_no_path(program: str) -> None:
    """A task cannot put a file of its own in the place of a listed program by naming it as a path."""
    assert isinstance(ask(RULE, Command(argv=("git-annex",))), Permit)
    assert isinstance(ask(RULE, Command(argv=(program,))), Denial)


@pytest.mark.parametrize(("program", "fits"), [("/usr/bin/x", True), ("/usr/bin/../x", False), ("/usr/bin/a/x", False)])
def test_a_pattern_for_a_path_fits_step_by_step(program: str, *, fits: bool) -> None:
    """A star stands for one step, and no path leads out of the folder that a pattern names."""
    rule = replace(RULE, programs=("/usr/bin/*",))
    assert isinstance(ask(rule, Command(argv=(program,))), Permit if fits else Denial)
