"""The boards of specs/vectors/boards, in the order in which they are best implemented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.vectors.scene import Scene
from tests.vectors.scenes_apart import fences, openly, partition, resubmit
from tests.vectors.scenes_claims import claiming, holding, steering
from tests.vectors.scenes_saying import life, operations, roles
from tests.vectors.scenes_time import needs, scheduling

SCENES: Final[tuple[Callable[[], Scene], ...]] = (
    life,
    operations,
    roles,
    claiming,
    holding,
    steering,
    partition,
    resubmit,
    fences,
    openly,
    needs,
    scheduling,
)
