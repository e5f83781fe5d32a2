"""The scheduler layer: which task next, and doing it."""
