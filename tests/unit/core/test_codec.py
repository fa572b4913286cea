"""Values to JSON and back."""

from __future__ import annotations

import json
from dataclasses import replace

from serinus.core.codec import from_json, to_json
from serinus.core.model import Deployment, TargetFilter
from serinus.core.policy.presets import PRESETS
from stories import Story, draft


def test_a_deployment_in_mid_rollout_comes_back_as_it_was():
    """Everything that a decision reads is stored: a restart changes nothing."""
    d = Story(draft(policy=PRESETS["rulesets"])).run(ticks=9).d
    d = replace(d, target_filter=TargetFilter(user_ids=("ada", "böb")))
    assert from_json(Deployment, json.loads(json.dumps(to_json(d)))) == d
