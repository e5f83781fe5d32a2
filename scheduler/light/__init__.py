"""Submitting and waiting without a replica: a key, a token that says which ledger, and somebody to hand blocks to."""
