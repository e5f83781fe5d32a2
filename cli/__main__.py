"""`python -m cli`: the program `p2p-workflow`, where its script is not installed."""

from cli.start import p2p_workflow

p2p_workflow()
