"""Rules for tests: the same pricing as a script and as a decision table, and ways to break them."""

from __future__ import annotations

#: 10 % from more than 100 on.
PRICING = 'def decide(input):\n    return {"discount": 0.1 if input["amount"] > 100 else 0}\n'
#: The same, but 20 %.
GENEROUS = PRICING.replace("0.1", "0.2")
#: Fails for everyone.
BROKEN = 'def decide(input):\n    fail("no price for " + input.get("email", "nobody"))\n'
CASES = [{"name": "a big order", "input": {"amount": 200}, "expected_output": {"discount": 0.1}}]


def table(rows=(("> 100", "0.1"), ("", "0")), **content) -> dict:
    """Return PRICING as a decision table; rows are (amount, discount)."""
    return model(
        {
            "type": "decisionTableNode",
            "content": {
                "hitPolicy": "first",
                "inputs": [{"id": "a", "name": "Amount", "field": "amount"}],
                "outputs": [{"id": "d", "name": "Discount", "field": "discount"}],
                "rules": [
                    {"_id": str(n), "a": amount, "d": discount} for n, (amount, discount) in enumerate(rows)
                ],
                **content,
            },
        }
    )


def expression(text: str) -> dict:
    """Return a model whose output is ``{"r": text}``."""
    content = {"expressions": [{"id": "e", "key": "r", "value": text}]}
    return model({"type": "expressionNode", "content": content})


def model(node: dict) -> dict:
    """Return a model with one node between input and output."""
    nodes = [{"id": "in", "type": "inputNode", "name": "in"}, {"id": "n", "name": "rules", **node}]
    return {
        "nodes": [*nodes, {"id": "out", "type": "outputNode", "name": "out"}],
        "edges": [
            {"id": "e1", "sourceId": "in", "targetId": "n"},
            {"id": "e2", "sourceId": "n", "targetId": "out"},
        ],
    }
