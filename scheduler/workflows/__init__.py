"""Workflow files: read, checked, planned, submitted as tasks, and their jobs run."""
