"""Doing one task: payloads, the sandbox, limits, secrets. Knows no board: a job comes in, an outcome goes out."""
