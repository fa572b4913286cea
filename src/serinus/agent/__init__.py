"""The agent: runs beside a proxy, carries what the control plane wants, and says what is carried."""

from serinus.agent.kept import Kept
from serinus.agent.link import Link, LinkError
from serinus.agent.run import Agent

__all__ = ["Agent", "Kept", "Link", "LinkError"]
