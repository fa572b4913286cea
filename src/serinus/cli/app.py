"""The command tree."""

from __future__ import annotations

import typer

from serinus.cli import (
    access,
    assignment,
    audit,
    backtest,
    compensation,
    drill,
    drivers,
    fleet,
    freeze,
    guard,
    judge,
    manage,
    notify,
    operate,
    pipeline,
    policy,
    proxy,
    release,
    release_set,
    rollout,
    ruleset,
    simulate,
    slo,
    smoke,
    vault,
    weights,
)

__all__ = ["app", "run"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Progressive delivery for anything that has a version: a new version goes to a few users first, is "
    "compared with the stable one while real traffic flows, and is rolled back within seconds when it is "
    "worse.",
)
for name, command in (
    ("up", operate.up),
    ("demo", operate.demo),
    ("watch", operate.watch),
    ("doctor", operate.doctor),
    ("simulate", simulate.simulate),
    ("login", manage.login),
    ("dashboard", manage.dashboard),
    ("judge", judge.judge),
    ("backtest", backtest.backtest),
    ("drill", drill.drill),
    ("drivers", drivers.drivers),
    ("agent", fleet.agent),
    ("version", operate.version),
):
    app.command(name)(command)
app.add_typer(rollout.app, name="rollout")
app.add_typer(assignment.assignments, name="assignment")
app.add_typer(compensation.compensation, name="compensation")
app.add_typer(guard.guard, name="guard")
app.add_typer(slo.slo, name="slo")
app.add_typer(release.release, name="release")
app.add_typer(release_set.app, name="release-set")
app.add_typer(freeze.app, name="freeze")
app.add_typer(smoke.smoke, name="smoke")
app.add_typer(pipeline.pipeline, name="pipeline")
app.add_typer(weights.weights, name="weights")
app.add_typer(manage.services, name="service")
app.add_typer(ruleset.rulesets, name="ruleset")
app.add_typer(access.members, name="member")
app.add_typer(access.accounts, name="service-account")
app.add_typer(access.tokens, name="token")
app.add_typer(audit.audit, name="audit")
app.add_typer(vault.secrets, name="secret")
app.add_typer(vault.keys, name="keys")
app.add_typer(fleet.fleet, name="fleet")
app.add_typer(policy.policies, name="policy")
app.add_typer(notify.notify, name="notify")
app.add_typer(proxy.proxy, name="proxy")


def run() -> None:
    """Run the command that was typed."""
    app()
