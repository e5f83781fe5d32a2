"""What an event changed in the roster: who was admitted and as what, whose grant was revoked, who came and went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.people import person

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crdt.records import Member, Presence, Roster
    from scheduler.home import Home


def roster_changes(home: Home, before: Roster, after: Roster) -> Iterator[dict[str, Any]]:
    """Yield what differs between two rosters, as JSON: `what` is admitted, revoked, restored, joined, left or gone."""
    grants = {(one.actor, one.grant): one for one in before.members}
    for member in after.members:
        yield from _of_member(home, grants.pop((member.actor, member.grant), None), member)
    for member in grants.values():
        yield {"what": "gone", "member": person(home, member.actor), "grant": str(member.grant)}
    presences = {one.actor: one for one in before.presences}
    for presence in after.presences:
        yield from _of_presence(home, presences.pop(presence.actor, None), presence)
    for presence in presences.values():  # what it said does not count any more
        yield {"what": "left", "member": person(home, presence.actor), "grant": str(presence.grant)}


def _of_member(home: Home, before: Member | None, after: Member) -> Iterator[dict[str, Any]]:
    who = {"member": person(home, after.actor), "grant": str(after.grant)}
    if before is None and after.roles:  # a stranger of an open ledger has none, and a row only once it is revoked
        said = {"name": after.name, "roles": list(after.roles), "labels": list(after.labels)}
        yield {"what": "admitted"} | who | said
    was_revoked = before is not None and bool(before.revoked_by)
    if was_revoked != bool(after.revoked_by):
        yield {"what": "revoked" if after.revoked_by else "restored"} | who


def _of_presence(home: Home, before: Presence | None, after: Presence) -> Iterator[dict[str, Any]]:
    if before == after:
        return
    who = {"member": person(home, after.actor), "grant": str(after.grant)}
    if after.joined:
        yield {"what": "joined"} | who | {"labels": list(after.labels), "slots": after.slots}
    else:
        yield {"what": "left"} | who


def roster_words(change: dict[str, Any]) -> str:
    """Return one change of the roster for people."""
    words = f"{change['what']}: {change['member']['name']}"
    if change.get("name") not in (None, change["member"]["name"]):
        words += f", named {change['name']}"
    for field in ("roles", "labels"):
        if change.get(field):
            words += f", {field} {', '.join(change[field])}"
    if change.get("slots") is not None:
        words += f", slots {change['slots']}"
    return words if change["what"] != "revoked" else f"{words}, grant {change['grant']}"
