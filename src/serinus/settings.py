"""Typed settings, read once from the environment. Every name is also a flag of ``serinus up``."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings"]


class Settings(BaseSettings):
    """How one control plane process runs. Secrets are never shown in ``repr``."""

    model_config = SettingsConfigDict(env_prefix="SERINUS_", extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8600, ge=0, le=65535)
    #: Where the embedded database and the local profile live.
    data_dir: Path = Path.home() / ".serinus"
    #: SQLite in ``data_dir`` unless given.
    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("DATABASE_URL", "SERINUS_DATABASE_URL", "database_url")
    )
    #: Keeps who has been on a canary, redis://…; in the database when empty.
    assignments_url: SecretStr = SecretStr("")
    #: Where people reach the dashboard, for links in messages.
    public_url: str = ""
    #: Seconds between two looks at a running deployment.
    tick_seconds: float = Field(default=2.0, gt=0, le=60)
    #: Width of evidence windows in seconds.
    window_seconds: int = Field(default=10, ge=1, le=60)
    #: Days that rolled-up evidence is kept.
    retention_days: float = Field(default=30.0, gt=0)
    #: Name of this process among replicas; must differ between them.
    replica: str = ""
    #: Warm processes in which rulesets run; started on first use.
    rule_workers: int = Field(default=3, ge=1, le=64)
    log_level: str = "INFO"
    #: Commands that hooks may run: name → program and arguments, as JSON.
    hook_commands: dict[str, list[str]] = Field(default_factory=dict)
    #: Keys that seal stored secrets, newest first, with spaces between; or a file with one a line.
    keys: SecretStr | None = None
    key_file: Path | None = None
    #: A hook's command that runs longer is killed.
    hook_seconds: float = Field(default=300.0, gt=0, le=3600)

    @property
    def store_url(self) -> str:
        """The database's URL; it may hold a password, so it is never logged."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.expanduser() / 'serinus.db'}"

    @property
    def embedded(self) -> bool:
        """Tell whether this process is the only one on its database."""
        return self.store_url.startswith("sqlite")

    @property
    def address(self) -> str:
        """Where people reach the dashboard, as far as we know."""
        return self.public_url or f"http://{self.host}:{self.port}"
