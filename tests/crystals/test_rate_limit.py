"""A wait that a service asks for is said before it begins."""

from __future__ import annotations

import logging

from imatgen_flows.crystals import rate_limit


def test_a_wait_is_said_before_it_begins_where_the_command_shows_warnings_alone(monkeypatch, caplog):
    said = []
    monkeypatch.setattr(rate_limit, "sleep", lambda seconds: said.append((seconds, list(caplog.messages))))
    with caplog.at_level(logging.WARNING, "imatgen_flows"):
        rate_limit.RateLimit("the service").wait(120)
    assert said == [(120, ["the service limits its requests: waiting 120 s"])]
