"""Talking to the control plane: where it is, who we are, and what its refusals mean."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["Api", "Refused", "Unreachable", "data_dir", "load_profile", "save_profile"]

PROFILE = "profile.json"
DEFAULT_URL = "http://127.0.0.1:8600"


class Unreachable(Exception):
    """The control plane does not answer, or only that it is not ready."""

    def __init__(self, detail: str, *, next_step: str = "") -> None:
        """Say what, and what to do about it; by default, to start it."""
        self.next_step = next_step or (
            "Start it with `serinus up`, or say where it is: `serinus login URL TOKEN`."
        )
        super().__init__(detail)


class Refused(Exception):
    """The control plane refused; carries its problem details."""

    def __init__(self, problem: dict[str, Any]) -> None:
        """Keep the problem."""
        self.problem = problem
        super().__init__(str(problem.get("detail", "refused")))


def data_dir() -> Path:
    """Return where the local profile lives."""
    return Path(os.environ.get("SERINUS_DATA_DIR", "~/.serinus")).expanduser()


def save_profile(folder: Path, url: str, token: str) -> Path:
    """Keep where the control plane is and our token, readable by us alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / PROFILE
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps({"url": url, "token": token}) + "\n")
    return path


def load_profile(folder: Path | None = None) -> tuple[str, str]:
    """Return URL and token from the environment, or from the profile."""
    known: dict[str, str] = {}
    path = (folder or data_dir()) / PROFILE
    if path.exists():
        known = json.loads(path.read_text())
    url = os.environ.get("SERINUS_URL") or known.get("url") or DEFAULT_URL
    return url.rstrip("/"), os.environ.get("SERINUS_TOKEN") or known.get("token", "")


class Api:
    """Calls under ``/api/v1``."""

    def __init__(self, url: str = "", token: str = "") -> None:
        """Use what is given, or the environment and the profile."""
        import httpx

        known_url, known_token = load_profile()
        self.url = (url or known_url).rstrip("/")
        self._warned = False
        token = token or known_token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(
            base_url=f"{self.url}/api/v1", headers=headers, timeout=15.0, trust_env=False
        )

    def get(self, path: str, **params: Any) -> Any:
        """Return the answer of a GET."""
        return self._call("GET", path, params={k: v for k, v in params.items() if v is not None})

    def post(self, path: str, body: Any = None, key: str = "") -> Any:
        """Return the answer of a POST; with ``key`` it is safe to repeat."""
        return self._call("POST", path, json=body or {}, headers={"Idempotency-Key": key} if key else {})

    def put(self, path: str, body: Any) -> Any:
        """Return the answer of a PUT."""
        return self._call("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        """Return the answer of a PATCH."""
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        """Return the answer of a DELETE."""
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, **options: Any) -> Any:
        """Call once.

        Raises:
            Unreachable: Nobody answers, or only that it is not ready.
            Refused: The answer is a problem.
        """
        import httpx

        try:
            answer = self._client.request(method, path, **options)
        except ValueError as error:
            raise Refused(
                {
                    "detail": "A number in this call is no percentage and no number at all.",
                    "next_step": "Give a number from 0 to 100.",
                }
            ) from error
        except httpx.HTTPError as error:
            raise Unreachable(f"No control plane answers at {self.url} ({type(error).__name__}).") from error
        self._warn(answer.headers.get("serinus-token-expires"))
        if answer.status_code == 503:
            told = _problem(answer)
            raise Unreachable(
                told.get("detail", "The control plane is not ready."),
                next_step=told.get("next_step") or "It may only be busy: try again, or run `serinus doctor`.",
            )
        if answer.status_code >= 400:
            raise Refused(_problem(answer))
        return answer.json() if answer.content else None

    def _warn(self, ends: str | None) -> None:
        """Say once on stderr that the token ends soon."""
        if ends and not self._warned:
            self._warned = True
            print(f"! Your token ends at {ends}. Ask an admin for another one.", file=sys.stderr)

    def only_service(self) -> str:
        """Return the name of the service, when there is only one.

        Raises:
            Refused: There are none, or several.
        """
        names = [str(s["name"]) for s in self.get("/services")["services"]]
        if len(names) == 1:
            return names[0]
        several = f"There are several services: {', '.join(names)}." if names else "There is no service yet."
        make = "Say which: --service NAME." if names else "Make one: serinus service create NAME --stable V1"
        raise Refused({"detail": several, "next_step": make})

    def find_deployment(self, named: str, *, begun: bool = False, first: str = "canary") -> str:
        """Return a deployment's id for an id, or for a service: its newest that runs, or its newest.

        ``first``: the status that is looked for before any other.
        ``begun``: leave out those that have not begun, which must not hide the one that everybody is on.

        Raises:
            Refused: There is none.
        """
        if named.startswith("dep_"):
            return named
        for status in (first, None):
            some = 20 if begun else 1
            found = self.get("/deployments", service_id=named, status=status, page_size=some)["deployments"]
            known = [d for d in found if begun and d["status"] not in ("draft", "scheduled")] or found
            if known:
                return str(known[0]["deployment_id"])
        raise Refused(
            {
                "detail": f"There is no deployment of a service {named!r}.",
                "next_step": "`serinus rollout list` shows what there is.",
            }
        )


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    return {"detail": f"The control plane answered {answer.status_code}.", "status": answer.status_code}
