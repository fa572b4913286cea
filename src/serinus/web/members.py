"""Pages of members: people, service accounts and their tokens. For admins; a secret is shown once."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from serinus.control.access.tokens import NewToken
from serinus.control.context import Caller
from serinus.control.plane import Plane
from serinus.control.unit import Call
from serinus.core.errors import InvalidInput, NotFound
from serinus.core.model import Role
from serinus.ports.people import MemberKind
from serinus.web.rendering import rendered
from serinus.web.visits import Visits

__all__ = ["MemberPages"]

#: What can be done to a member: label and consequence.
ACTIONS = {
    "token": (
        "New token",
        (
            "Whoever has it acts as {name}, within the role chosen here. Its secret is shown once, on the "
            "next page."
        ),
    ),
    "role": ("Change the role", "Tokens of {name} can do no more than this from now on, at once."),
    "remove": (
        "Remove",
        "All tokens and sessions of {name} end at once. What {name} did keeps its name. It cannot be undone.",
    ),
}
REVOKE = "Whoever uses it is refused at once, and sessions that were opened with it end. It cannot be undone."
#: What each role may do, as the form says it.
ROLES = {
    Role.VIEWER: "reads everything",
    Role.APPROVER: "and starts, shifts, promotes, rolls back",
    Role.ADMIN: "and manages members, tokens and freezes",
    Role.SDK: "an application: reads its split, sends measurements",
    Role.AGENT: "a proxy's agent: reads its split, says what it carries",
}
#: Days until a token ends, and how that is called; the third is chosen.
ENDS = (("1", "1 day"), ("7", "7 days"), ("90", "90 days"), ("365", "1 year"), ("", "never"))
CHOSEN_END = "90"
ENDED = ("revoked", "expired")


class MemberPages:
    """Who belongs to the tenant, and what their tokens may do."""

    def __init__(self, plane: Plane, visits: Visits) -> None:
        """Keep what is read and commanded, and who knows the visitors."""
        self._plane, self._visits = plane, visits

    async def all(self, request: Request) -> Response:
        """Everybody, each with their tokens."""
        known = await self._known(request)
        members = (await self._plane.people.all(known["caller"]))["members"]
        tokens = await self._plane.access.all(known["caller"])
        present = {m["member_id"] for m in members}
        for member in members:
            member["tokens"] = _sorted(t for t in tokens if t["member_id"] == member["member_id"])
        # What a removed member had has ended with them, and is nobody's business any more.
        nobodys = [t for t in tokens if not t["member_id"] or (t["member_id"] not in present and _live(t))]
        return rendered(
            request,
            "members.html",
            **known,
            kinds=[
                (kind.value, heading, [m for m in members if m["kind"] == kind.value])
                for kind, heading in (
                    (MemberKind.PERSON, "People"),
                    (MemberKind.SERVICE_ACCOUNT, "Service accounts"),
                )
            ],
            nobodys=_sorted(nobodys),
        )

    async def new(self, request: Request) -> Response:
        """Ask who is to be added."""
        known = await self._known(request)
        kind = _kind(request.query_params)
        return rendered(request, "member_new.html", **known, kind=kind.value, choices=ROLES)

    async def add(self, request: Request) -> Response:
        """Add a person or a service account; on to its first token."""
        caller, form = await self._visits.posted(request)
        name = form.get("name", "").strip()
        call = Call(caller=caller, action="member.add", target=name[:200], needs=Role.ADMIN)
        email = form.get("email", "").strip()
        made = await self._plane.people.add(call, _kind(form), name, _role(form), email)
        return RedirectResponse(f"/members/{made.body['member_id']}/token", status_code=303)

    async def confirm(self, request: Request) -> Response:
        """Say what a button will do to a member before it is done, and ask what it needs."""
        known = await self._known(request)
        member = await self._member(known["caller"], request.path_params["member_id"])
        label, consequence = _action(request)
        return rendered(
            request,
            "member_confirm.html",
            **known,
            member=member,
            action=request.path_params["action"],
            label=label,
            consequence=consequence,
            choices={r: words for r, words in ROLES.items() if _may_have(request, member, r)},
            ends=ENDS,
            chosen_end=CHOSEN_END,
            key=secrets.token_hex(16),
        )

    async def act(self, request: Request) -> Response:
        """Do it, as the API would."""
        caller, form = await self._visits.posted(request)
        identity, action = request.path_params["member_id"], request.path_params["action"]
        _action(request)
        if action == "token":
            return await self._token(request, caller, identity, form)
        call = Call(caller=caller, action=f"member.{action}", target=identity[:200], needs=Role.ADMIN)
        if action == "role":
            await self._plane.people.set_role(call, identity, _role(form))
        else:
            await self._plane.people.remove(call, identity)
        return RedirectResponse("/members", status_code=303)

    async def _token(self, request: Request, caller: Caller, identity: str, form: dict[str, str]) -> Response:
        """Make a token and show its secret, here and never again."""
        caller.must_reach(Role.ADMIN)
        days, name = form.get("days", ""), form.get("name", "").strip()
        if days not in dict(ENDS):
            raise InvalidInput("A token ends after one of the times offered.", field="days")
        new = NewToken(
            name=name,
            role=_role(form),
            expires_at=self._plane.context.clock.now() + timedelta(days=int(days)) if days else None,
            member=identity,
            services=tuple(s.strip() for s in form.get("services", "").split(",") if s.strip()),
        )
        asked = json.dumps([form.get(k, "") for k in ("name", "role", "days", "services")])
        call = Call(
            caller=caller,
            action="token.create",
            target=name[:200],
            needs=Role.ADMIN,
            # Loading the answer again sends the form again: it makes no second token.
            key=f"token.create:{form.get('key', '')[:64]}" if form.get("key") else "",
            fingerprint=hashlib.sha256(f"{identity} {asked}".encode()).hexdigest(),
        )
        made = await self._plane.access.create(call, new)
        return rendered(request, "token_made.html", **await self._known(request), token=made.body)

    async def revoking(self, request: Request) -> Response:
        """Say what ending a token will do."""
        known = await self._known(request)
        identity = request.path_params["token_id"]
        found = [t for t in await self._plane.access.all(known["caller"]) if t["token_id"] == identity]
        if not found:
            raise NotFound(f"There is no token {identity[:80]!r}.", next_step="Go back to the members.")
        return rendered(request, "token_revoke.html", **known, token=found[0], consequence=REVOKE)

    async def revoke(self, request: Request) -> Response:
        """End a token at once."""
        caller, _ = await self._visits.posted(request)
        identity = request.path_params["token_id"]
        call = Call(caller=caller, action="token.revoke", target=identity[:200], needs=Role.ADMIN)
        await self._plane.access.revoke(call, identity)
        return RedirectResponse("/members", status_code=303)

    async def _known(self, request: Request) -> dict[str, Any]:
        """Return what every page shows, to an admin."""
        known = await self._visits.known(request)
        known["caller"].must_reach(Role.ADMIN)
        return known

    async def _member(self, caller: Caller, identity: str) -> dict[str, Any]:
        members: list[dict[str, Any]] = (await self._plane.people.all(caller))["members"]
        for member in members:
            if member["member_id"] == identity:
                return member
        raise NotFound(f"There is no member {identity[:80]!r}.", next_step="Go back to the members.")


def _action(request: Request) -> tuple[str, str]:
    """Return label and consequence of what is asked for."""
    action = request.path_params["action"]
    if action not in ACTIONS:
        raise NotFound(f"There is no {action[:40]!r}.", next_step="Go back to the members.")
    return ACTIONS[action]


def _may_have(request: Request, member: dict[str, Any], role: Role) -> bool:
    """Tell whether a role can be chosen: no token of a member does more than the member may."""
    return request.path_params["action"] != "token" or Role(member["role"]).reaches(role)


def _kind(asked: Mapping[str, str]) -> MemberKind:
    """Return whether a program or, without a word of it, a person is asked for."""
    program = asked.get("kind") == MemberKind.SERVICE_ACCOUNT.value
    return MemberKind.SERVICE_ACCOUNT if program else MemberKind.PERSON


def _role(form: dict[str, str]) -> Role:
    try:
        return Role(form.get("role", ""))
    except ValueError:
        known = ", ".join(role.value for role in Role)
        raise InvalidInput("No role was chosen.", field="role", next_step=f"Choose one of {known}.") from None


def _live(token: dict[str, Any]) -> bool:
    return token["state"] not in ENDED


def _sorted(tokens: Any) -> list[dict[str, Any]]:
    """Return tokens, those that have ended last."""
    return sorted(tokens, key=lambda t: (not _live(t), t["name"]))
