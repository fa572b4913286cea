"""``serinus member``, ``serinus service-account``, ``serinus token``: who may call the control plane."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli.common import JsonFlag, api, err, handled, out, print_json
from serinus.core.policy.units import number_of

__all__ = ["accounts", "members", "tokens"]

members = typer.Typer(no_args_is_help=True, help="People who belong to this tenant.")
accounts = typer.Typer(no_args_is_help=True, help="Programs that belong to this tenant.")
tokens = typer.Typer(no_args_is_help=True, help="What people and programs call the control plane with.")

RoleArgument = Annotated[str, typer.Argument(help="sdk, agent, viewer, approver or admin.")]
WhoArgument = Annotated[str, typer.Argument(help="Name or id.")]
#: Days in each unit of ``--expires``.
_UNITS = {"h": 1 / 24, "d": 1.0, "w": 7.0}


def _add(body: dict[str, Any], *, as_json: bool) -> None:
    with handled():
        made = api().post("/members", body)
        if as_json:
            print_json(made)
            return
        out().print(f"[green]✔[/] {escape(made['name'])} ({made['role']}) {made['member_id']}")
        err().print(f"  next  serinus token create NAME --member {made['member_id']} --role {made['role']}")


def _list(kind: str, *, as_json: bool) -> None:
    with handled():
        found = [m for m in api().get("/members")["members"] if m["kind"] == kind]
        if as_json:
            print_json(found)
            return
        for m in found:
            out().print(
                f"{m['member_id']}  {m['role']:<9} {m['name']:<24} {m['email'] or ''}".rstrip(), markup=False
            )
        if not found:
            err().print("There is none yet.")


def _remove(who: str) -> None:
    with handled():
        gone = api().delete(f"/members/{_id_of(who)}")
        revoked = number_of(gone["revoked_tokens"], "token")
        out().print(f"[green]✔[/] {escape(gone['name'])} is removed; {revoked} revoked.")


def _set_role(who: str, role: str) -> None:
    with handled():
        made = api().patch(f"/members/{_id_of(who)}", {"role": role})
        name = escape(made["name"])
        out().print(f"[green]✔[/] {name} is {made['role']}; no token of theirs can do more.")


def _id_of(who: str) -> str:
    """Return a member's id for a name, which may hold what a path cannot."""
    if re.fullmatch(r"mem_[0-9a-f]+", who):
        return who
    found = (m["member_id"] for m in api().get("/members")["members"] if m["name"] == who)
    return str(next(found, who))


@members.command("add")
def add_member(
    name: Annotated[str, typer.Argument(help="As timeline and audit log shall name them.")],
    email: Annotated[str, typer.Option("--email", help="Where they are reached.")],
    role: Annotated[str, typer.Option("--role", help="viewer, approver or admin.")] = "viewer",
    as_json: JsonFlag = False,
) -> None:
    """Add a person. They can do nothing until they have a token."""
    _add({"name": name, "role": role, "email": email}, as_json=as_json)


@accounts.command("add")
def add_account(
    name: Annotated[str, typer.Argument(help="As timeline and audit log shall name it.")],
    role: Annotated[str, typer.Option("--role", help="sdk, agent, viewer, approver or admin.")] = "viewer",
    as_json: JsonFlag = False,
) -> None:
    """Add a program: a pipeline, an application. It can do nothing until it has a token."""
    _add({"name": name, "role": role, "kind": "service_account"}, as_json=as_json)


@members.command("list")
def list_members(as_json: JsonFlag = False) -> None:
    """List people."""
    _list("person", as_json=as_json)


@accounts.command("list")
def list_accounts(as_json: JsonFlag = False) -> None:
    """List programs."""
    _list("service_account", as_json=as_json)


@members.command("remove")
def remove_member(who: WhoArgument) -> None:
    """Remove a person; their tokens and sessions end at once."""
    _remove(who)


@accounts.command("remove")
def remove_account(who: WhoArgument) -> None:
    """Remove a program; its tokens end at once."""
    _remove(who)


@members.command("role")
def member_role(who: WhoArgument, role: RoleArgument) -> None:
    """Give a person another role; it holds for tokens that they have, too."""
    _set_role(who, role)


@accounts.command("role")
def account_role(who: WhoArgument, role: RoleArgument) -> None:
    """Give a program another role; it holds for tokens that it has, too."""
    _set_role(who, role)


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    role: Annotated[str, typer.Option("--role", help="sdk, agent, viewer, approver or admin.")] = "viewer",
    member: Annotated[
        str, typer.Option("--member", help="Whose it is: name or id; its role must reach the token's.")
    ] = "",
    service: Annotated[
        list[str] | None, typer.Option("--service", help="Only for this service; may be repeated.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="When it ends: 12h, 90d, 4w; never by default.")
    ] = None,
    days: Annotated[float | None, typer.Option("--expires-in-days", hidden=True)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a token. Its secret is printed this once."""
    with handled():
        body: dict[str, Any] = {"name": name, "role": role, "member": member, "services": service or []}
        if expires is not None:
            days = _days(expires)
        if days is not None:
            body["expires_in_days"] = days
        made = api().post("/tokens", body)
        if as_json:
            print_json(made)
            return
        whose = f", {escape(made['member'])}'s" if made["member"] else ""
        scope = f", only for {', '.join(made['services'])}" if made["services"] else ""
        ends = f", until {made['expires_at'][:10]}" if made["expires_at"] else ", without an end"
        err().print(f"[green]✔[/] {made['name']} ({made['role']}{whose}{scope}{ends}). It is shown only now:")
        out().print(made["token"], markup=False)


def _days(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text)
    if not found or not float(found[1]):
        raise typer.BadParameter(f"{text!r}: write 12h, 90d or 4w.", param_hint="--expires")
    return float(found[1]) * _UNITS[found[2]]


@tokens.command("list")
def list_tokens(as_json: JsonFlag = False) -> None:
    """List tokens, without their secrets: whose, for what, until when, and when they were last used."""
    with handled():
        found = api().get("/tokens")
        if as_json:
            print_json(found)
            return
        for t in found["tokens"]:
            out().print(_token_line(t), markup=False)
        soon = [t["name"] for t in found["tokens"] if t["state"] == "expiring"]
        if soon:
            err().print(f"[yellow]![/] End within a week: {', '.join(soon)}. Make new ones in time.")


def _token_line(t: dict[str, Any]) -> str:
    ends = f"until {t['expires_at'][:10]}" if t["expires_at"] and t["state"] != "revoked" else ""
    state = t["state"] if t["state"] in ("revoked", "expired") or not ends else ends
    used = f"used {t['last_used_at'][:16].replace('T', ' ')}" if t["last_used_at"] else "never used"
    whose = f" · {t['member']}" if t["member"] else ""
    scope = f" · only {', '.join(t['services'])}" if t["services"] else ""
    return f"{t['token_id']}  {t['role']:<9} {state:<17} {used:<22} {t['name']}{whose}{scope}"


@tokens.command("revoke")
def revoke_token(token: Annotated[str, typer.Argument(help="The token's id (tok_…).")]) -> None:
    """End a token at once."""
    with handled():
        api().delete(f"/tokens/{token}")
        out().print(f"[green]✔[/] {token} is revoked.")
