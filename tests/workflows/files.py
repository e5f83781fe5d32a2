"""Workflow files for the tests, and the guide's own."""

from __future__ import annotations

from typing import Final

from scheduler.workflows.reading import Workflow, read_workflow

GUIDE: Final = """\
name: P2P Code Generation

on:
  workflow_dispatch:
    inputs:
      description:
        required: true

env:
  WORKFLOW_TAGS: p2p-only,code-generation

jobs:
  generate:
    runs-on: ubuntu-latest
    steps:
      - name: Submit to P2P
        run: |
          ipfs-accelerate p2p-workflow submit \\
            --task-id "${{ github.run_id }}" \\
            --workflow-id "${{ github.workflow }}" \\
            --name "${{ github.event.inputs.description }}" \\
            --tags p2p-only code-generation \\
            --priority 7
"""
"""The YAML of the quick start, to the letter."""

THREE: Final = """\
name: Three
on:
  workflow_dispatch:
    inputs:
      greeting: {default: hello, type: string}
env:
  P2P_TAGS: p2p-only
jobs:
  build:
    runs-on: ubuntu-latest
    outputs:
      word: ${{ steps.say.outputs.word }}
    steps:
      - id: say
        run: echo "word=built" >> "$GITHUB_OUTPUT"
  test:
    needs: build
    runs-on: [self-hosted, gpu]
    timeout-minutes: 5
    strategy:
      matrix:
        python: ["3.11", "3.12"]
    steps:
      - run: echo "testing ${{ matrix.python }}"
  publish:
    needs: [build, test]
    runs-on: ubuntu-latest
    steps:
      - run: echo "publishing"
"""
"""Three dependent jobs, the second with two legs."""

MAKE: Final = """\
on: {workflow_dispatch: {inputs: {who: {default: nobody}}}}
env: {P2P_TAGS: p2p-only}
jobs:
  make:
    runs-on: ubuntu-latest
    outputs: {word: '${{ steps.s.outputs.word }}'}
    steps:
      - uses: actions/checkout@v4
      - {id: s, run: 'echo "word=$(cat greeting.txt) $WHO" >> "$GITHUB_OUTPUT"', env: {WHO: '${{ inputs.who }}'}}
"""
"""A workflow that begins with a job whose output others need; it wants a file greeting.txt, and the input `who`."""

POLICY: Final = """\
[[allow]]
submitters = ["any-member"]
payloads = ["workflow-job"]
[allow.limits]
time = "5m"
"""
"""A worker's policy that lets the jobs of all members run."""


def read(text: str, path: str = "ci.yml") -> Workflow:
    """Read a text as a workflow file."""
    return read_workflow(text.encode(), path)


def one_job(more: str = "", steps: str = "- run: 'true'", on: str = "push") -> str:
    """Return a workflow of one job `a`, with more keys of its own at the depth of the job's."""
    lines = "".join(f"    {line}\n" for line in more.splitlines())
    body = "".join(f"      {line}\n" for line in steps.splitlines())
    return f"on: {on}\njobs:\n  a:\n    runs-on: ubuntu-latest\n{lines}    steps:\n{body}"
