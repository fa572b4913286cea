"""Finding what a call is about: what is another tenant's, or not the caller's to see, is not there."""

from __future__ import annotations

from serinus.control.unit import Call
from serinus.core.errors import NotFound, StaleRevision
from serinus.core.model import Deployment, Service
from serinus.ports.store import Transaction

__all__ = ["expect_revision", "find_deployment", "find_service"]


def expect_revision(call: Call, d: Deployment) -> None:
    """Refuse a call that was made looking at an older revision.

    Raises:
        StaleRevision: It has changed since.
    """
    expected = call.data.get("expected_revision")
    if expected is not None and expected != d.revision:
        raise StaleRevision(
            f"You looked at revision {expected}; it is {d.revision} now"
            + (f": {d.sentence}" if d.sentence else "."),
            next_step="Read the deployment again, then decide.",
            extra={"revision": d.revision},
        )


async def find_deployment(tx: Transaction, call: Call, deployment_id: str) -> Deployment:
    """Return a deployment of the caller's tenant.

    Raises:
        NotFound: The tenant has no such one.
    """
    d = await tx.deployments.get(call.caller.tenant_id, deployment_id)
    if d is None or not call.caller.sees(d.service):
        raise call.caller.missing(
            NotFound(
                f"There is no deployment {deployment_id[:80]!r}.",
                next_step="GET /api/v1/deployments lists yours.",
            )
        )
    return d


async def find_service(tx: Transaction, call: Call, id_or_name: str, *, field: str = "service_id") -> Service:
    """Return a service of the caller's tenant by id or name; ``field`` is what it was named in.

    Raises:
        NotFound: The tenant has no such one.
    """
    service = await tx.services.get(call.caller.tenant_id, id_or_name)
    if service is None or not call.caller.sees(service.name):
        kind = field.removesuffix("_id")
        raise call.caller.missing(
            NotFound(
                f"There is no {kind} {id_or_name[:80]!r}.",
                field=field,
                next_step=f"Make it with POST /api/v1/{kind}s, or `serinus {kind} create`.",
            )
        )
    return service
