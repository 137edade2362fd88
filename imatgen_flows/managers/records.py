"""Records of campaigns, as the LaunchPad keeps them in the metadata of a workflow."""

from __future__ import annotations

from typing import Any, TypedDict

FORMAT = 2  # of a campaign on a LaunchPad; 1 was that of campaign files of version 1


class CampaignMetadata(TypedDict):
    """What a LaunchPad stores of a campaign: enough to write its run directory again.

    `campaign` is the campaign file as plain values, `submitted` a time in ISO format, `version` that of imatgen-flows, and
    `format` the `FORMAT` of that version.
    """

    campaign_id: str
    name: str
    directory: str
    campaign: dict[str, Any]
    submitted: str
    version: str
    format: int


class CampaignRecord(CampaignMetadata):
    """The metadata of a campaign, with the state of its workflow."""

    state: str
