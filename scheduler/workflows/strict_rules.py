"""The rules of the strict check, one id each: what act would silently skip or misread, or cannot do.

`docs/workflows-checks.md` tells of each, `tests/workflows/test_strict.py` has a case of each, and
`tests/workflows/test_act_skips.py` shows what act does where the check does not stand before it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Rule(StrEnum):
    """Ids of rules: stable, they are cited in findings."""

    KEY = "W1"
    SYSTEM = "W2"
    CONTAINER = "W3"
    SERVICES = "W4"
    REUSABLE = "W5"
    CONCURRENCY = "W6"
    ENVIRONMENT = "W7"
    JOB_CONTINUES = "W8"
    JOB_IF = "W9"
    REMOTE_ACTION = "W10"
    DOCKER_ACTION = "W11"
    CHECKOUT = "W12"
    LOCAL_ACTION = "W13"
    SHELL = "W14"
    STEP_TIMEOUT = "W15"
    EMPTY = "W16"
    FUNCTION = "W17"
    CONTEXT = "W18"
    COMMAND = "W19"
    STEP_ID = "W20"
    ENV_MAP = "W21"
    PROGRAM = "W22"
    SECRETS = "W23"
    SOURCE = "W24"
    PLACE = "W25"
    MEANING = "W26"


TITLES: Final[dict[Rule, str]] = {
    Rule.KEY: "a key that act does not know, or reads past",
    Rule.SYSTEM: "a job for another system, or for a group of runners",
    Rule.CONTAINER: "a job in a container",
    Rule.SERVICES: "a job with services",
    Rule.REUSABLE: "a job that is another workflow",
    Rule.CONCURRENCY: "`concurrency`",
    Rule.ENVIRONMENT: "`environment`",
    Rule.JOB_CONTINUES: "`continue-on-error` of a job",
    Rule.JOB_IF: "the `if` of a job that asks for failed or cancelled needs",
    Rule.REMOTE_ACTION: "an action that would have to be fetched",
    Rule.DOCKER_ACTION: "an action in a container",
    Rule.CHECKOUT: "`actions/checkout` of anything but the task's own source",
    Rule.LOCAL_ACTION: (
        "an action of the repository that is not there, cannot be run, or has numbers GitHub writes otherwise"
    ),
    Rule.SHELL: "a shell of another system",
    Rule.STEP_TIMEOUT: "`timeout-minutes` of a step that is not a whole number",
    Rule.EMPTY: "an `if` or a `run` without anything in it",
    Rule.FUNCTION: "an expression that cannot be read, or calls a function act does not have",
    Rule.CONTEXT: "a value that is there on GitHub and is empty or another here, or that is nowhere",
    Rule.COMMAND: "`::set-env` and `::add-path`, which are switched off, and what switches them on",
    Rule.STEP_ID: "an id that two steps have, or that is none",
    Rule.ENV_MAP: "`env` that is one expression",
    Rule.PROGRAM: "a program that this worker does not have",
    Rule.SECRETS: "a secret that this run was not granted",
    Rule.SOURCE: "a checkout where the task carries no source",
    Rule.PLACE: "an expression where none can stand, or that names what is not known there",
    Rule.MEANING: "an expression that act computes otherwise: `.*` but in contains(needs.*.…), a row of comparisons",
}
