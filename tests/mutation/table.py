"""All mutations, in the order of the layers."""

from __future__ import annotations

from typing import Final

from tests.mutation.in_audit import IN_AUDIT
from tests.mutation.in_fold import IN_FOLD
from tests.mutation.in_ledger import IN_LEDGER
from tests.mutation.in_network import IN_NETWORK
from tests.mutation.in_scheduler import IN_SCHEDULER
from tests.mutation.in_segments import IN_SEGMENTS
from tests.mutation.in_soundness import IN_SOUNDNESS
from tests.mutation.mutation import Mutation

MUTATIONS: Final[tuple[Mutation, ...]] = (
    *IN_LEDGER,
    *IN_SOUNDNESS,
    *IN_FOLD,
    *IN_SCHEDULER,
    *IN_NETWORK,
    *IN_SEGMENTS,
    *IN_AUDIT,
)
