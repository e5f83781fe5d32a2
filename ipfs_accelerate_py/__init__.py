"""Give the quick start its import path: names of `scheduler`, and no logic of its own.

Another distribution on the package index has the same import name; where both are installed, importing this raises.
"""

from cli.conflict import check_for_conflict

check_for_conflict()
