"""Where template structures come from, and what can be held out of the training set, by name."""

from __future__ import annotations

from imatgen_flows.registry import Entry, Registry

TEMPLATE_SOURCES = Registry(
    "source of templates",
    Entry("prototypes", "Prototypes", "The binary and ternary prototypes that ship with pymatgen."),
    Entry("file", "File", "A .jsonl.gz file, or a folder of CIF or POSCAR files."),
    Entry("mp", "Materials Project", "The Materials Project; it needs a key in MP_API_KEY."),
    Entry("optimade", "OPTIMADE", "A provider of OPTIMADE, for example oqmd."),
)

HOLD_OUT = Registry(
    "held-out set",
    Entry("none", "Nothing", "All known phases may train the networks."),
    Entry("structures", "Structures", "All published compounds of the system are held out."),
    Entry("prototypes", "Prototypes", "Also every template that becomes one of these compounds."),
)
