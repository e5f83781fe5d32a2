"""Bring people and programs in: commands, reports, and what is printed.

The top layer over `scheduler`. Nothing is imported here, so that each command loads only what it needs.
"""
