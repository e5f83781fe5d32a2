"""What can go wrong between us and a Kubo node, told apart by what the caller can do about it.

Leaves out the calls themselves (ledger.kubo_rpc). Whatever goes wrong here, the local store is the durable truth: all
that is local goes on.
"""

from __future__ import annotations


class KuboError(Exception):
    """The node did not do what was asked. The message says what was asked, of which node, and what came of it."""


class KuboNotRunningError(KuboError):
    """Nothing answers at the node's address: start it, or name another."""


class KuboRefusedError(KuboError):
    """The node will not do this: the token is wrong, a feature is switched off, or the request is bad."""


class KuboNotFoundError(KuboError):
    """The node has no such block, name or key, and can get none: ask another."""


class KuboTooLargeError(KuboError):
    """The answer, or the block, is larger than is taken: it is not what was asked for."""


class KuboTimeoutError(KuboError):
    """The node did not answer in time: try again, or look whether it hangs."""
