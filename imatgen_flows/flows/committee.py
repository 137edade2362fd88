"""The flow of the committee: what further potentials say of the shortlist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobflow import Flow, Maker, OnMissing

from imatgen_flows.config import CampaignConfig
from imatgen_flows.jobs.committee import relax_member_references, relax_member_shortlist, take_votes
from imatgen_flows.jobs.documents import MemberDocuments
from imatgen_flows.jobs.search_space import relax_inputs


@dataclass
class CommitteeMaker(Maker):
    """Relax references and shortlist with each further potential, place each on its own hull, and take the votes."""

    config: CampaignConfig
    name: str = "committee"

    def make(self, root: str, candidates: Any, references: Any, round_number: int = 0) -> Flow:
        """Build the flow.

        Parameters
        ----------
        root : of the artifact store
        candidates : document of the ranked candidates of a round, or a reference to it
        references : document of the phases of the hull, or a reference to it
        round_number : of the campaign
        """
        config, committee = self.config, self.config.committee
        relax = relax_inputs(config.screen, config.search.pressure)
        jobs, made = [], {}
        for member in committee.potentials:
            hull = relax_member_references(root, member=member, references=references, relax=relax)
            relaxed = relax_member_shortlist(
                root,
                member=member,
                candidates=candidates,
                references=hull.output,
                at_most=committee.at_most,
                relax=relax,
            )
            jobs += [hull, relaxed]
            made[member] = MemberDocuments(hull=hull.output, relaxations=relaxed.output)
        votes = take_votes(
            root,
            candidates=candidates,
            potential=config.screen.potential,
            members=made,
            at_most=committee.at_most,
            threshold=committee.threshold or config.screen.threshold,
            is_first_round=not round_number,
        )
        votes.config.on_missing_references = OnMissing.NONE  # a member whose job is lost loses its votes
        return Flow([*jobs, votes], output=votes.output, name=self.name)
