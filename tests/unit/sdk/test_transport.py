"""What is sent, in which order, and what waits for what."""

from __future__ import annotations

from serinus.sdk.transport import MAX_BACKLOG, Transport, apart


class Application:
    """Measures one window a flush, and puts one unit on the canary."""

    def __init__(self) -> None:
        self.url, self.revision, self.dropped, self.last_error = "http://127.0.0.1:9", "r", 0, ""
        self.services: dict = {}
        self.flushes, self.taken_back = 0, []

    def take_batch(self, *, last: bool = False) -> dict:
        """Return a window and a unit."""
        self.flushes += 1
        return {"windows": [self.flushes], "units": [f"u{self.flushes}"], "samples": [], "breakers": []}

    def take_units(self) -> list:
        """Return nothing more."""
        return []

    def take_back(self, batch) -> None:
        """Remember what was given up."""
        self.taken_back += batch["units"]


def test_units_that_cannot_be_stored_keep_no_measurement_waiting(monkeypatch):
    """They wait and are never given up; measurements go through, each under a number of its own."""
    application = Application()
    transport, sent = Transport(application, "token", None, 1.0, 1.0), []

    def send(batch) -> bool:
        if "windows" not in batch and stuck:
            return False
        sent.append(batch)
        return True

    monkeypatch.setattr(transport, "_sent", send)
    stuck = True
    for _ in range(MAX_BACKLOG + 5):
        transport.flush()
    assert [one["windows"] for one in sent] == [[n + 1] for n in range(MAX_BACKLOG + 5)]
    assert application.taken_back == ["u1", "u2", "u3", "u4", "u5"]  # told of again later, by the client
    stuck = False
    transport.flush()
    units = [one["units"][0] for one in sent if "windows" not in one]
    assert units == [f"u{n}" for n in range(7, MAX_BACKLOG + 7)]
    assert len({one["seq"] for one in sent}) == len(sent)


def test_what_is_not_there_is_not_sent():
    """Neither an empty batch, nor empty halves."""
    assert apart(None) == (None, None)
    only_units = {"windows": [], "units": ["u"], "samples": [], "breakers": []}
    assert apart(only_units) == (None, {"units": ["u"]})
    measured = {"windows": ["w"], "units": [], "samples": [], "breakers": []}
    assert apart(measured) == (measured, None)
