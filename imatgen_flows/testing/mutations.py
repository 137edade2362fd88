"""Damaged files for tests: small files of crystals and a campaign file, and random changes to them."""

from __future__ import annotations

import io
import json
import random
import re

import yaml
from pymatgen.core import Lattice, Structure

# what goes wrong in files of other people, and what breaks a reader that trusts them
TOKENS = (
    b"?", b".", b"-", b"nan", b"inf", b"1e309", b"1e-300", b"0", b"-1", b"99999999999", b"9" * 400, b"4.2(3)", b"1/3",
    b"18O", b"D", b"Va", b"X_vacancy", b"V,spin", b"V5+", b"Qq", b"'", b'"', b";", b"#", b",", b"{", b"}",
    b"[" * 20_000, b'{"a":' * 5_000, b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"\r", b"\n\n", b"\t",
    b"loop_\n", b"data_\n", b"data_x\n", b"_atom_site_label\n", b"null", b"true", b"&a [*a]", b"*a",
    b"!!python/object:os.system", b"<<: ", b": ", b"- ", b"Lattice=",
)  # fmt: skip
NUMBER = re.compile(rb"-?\d+\.?\d*")


def seed_files() -> dict[str, bytes]:
    """Make a file of each kind that is damaged, by its name."""
    from ase.io import write
    from pymatgen.io.cif import CifWriter
    from pymatgen.io.vasp.inputs import Poscar

    rutile = Structure.from_spacegroup(136, Lattice.tetragonal(4.70, 3.13), ["Zn", "F"], [[0, 0, 0], [0.303, 0.303, 0]])
    chloride = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    fixed = Poscar(rutile, selective_dynamics=[[True, False, True]] * len(rutile))
    rows = [
        {
            "id": f"r{number}",
            "lattice": crystal.lattice.matrix.tolist(),
            "species": [site.specie.symbol for site in crystal],
            "frac_coords": crystal.frac_coords.tolist(),
        }
        for number, crystal in enumerate((rutile, chloride))
    ]
    frames = io.StringIO()
    write(frames, [rutile.to_ase_atoms(), chloride.to_ase_atoms()], format="extxyz")
    campaign = {
        "version": 2,
        "system": ["Zn", "F"],
        "limits": {"max_sites": 12},
        "labels": {"potential": "toy"},
        "templates": {"source": "file", "path": "templates.jsonl"},
        "screen": {"potential": "toy", "fmax": 0.05, "at_most": 6},
        "sampling": {"slerp": 40, "prior": 10},
    }
    texts = {
        "p1.cif": rutile.to(fmt="cif"),
        "symmetric.cif": str(CifWriter(rutile, symprec=0.01)),
        "blocks.cif": f"{rutile.to(fmt='cif')}\n{chloride.to(fmt='cif')}",
        "rutile.vasp": str(Poscar(rutile)),
        "fixed_POSCAR": str(fixed),
        "rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "pymatgen.jsonl": "".join(json.dumps(crystal.as_dict()) + "\n" for crystal in (rutile, chloride)),
        "frames.extxyz": frames.getvalue(),
        "campaign.yaml": yaml.safe_dump(campaign, sort_keys=False),
    }
    return {name: text.encode() for name, text in texts.items()}


def mutate(content: bytes, seed: int) -> bytes:
    """Damage a file in one to four places, the same way for the same seed."""
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        content = chance.choice(_CHANGES)(content, chance)
    return content


def _cut(content: bytes, chance: random.Random) -> bytes:
    start, end = _span(content, chance)
    return content[:start] + content[end:]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    start, end = _span(content, chance)
    return content[:end] + content[start:end] * chance.choice((1, 1, 3)) + content[end:]


def _insert(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) + 1)
    return content[:place] + chance.choice(TOKENS) + content[place:]


def _replace_byte(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) + 1)
    return content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]


def _replace_number(content: bytes, chance: random.Random) -> bytes:
    return _replace_match(NUMBER, content, chance)


def _replace_word(content: bytes, chance: random.Random) -> bytes:
    return _replace_match(re.compile(rb"\S+"), content, chance)


def _swap_lines(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _truncate(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _replace_match(pattern: re.Pattern[bytes], content: bytes, chance: random.Random) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content
    match = chance.choice(found)
    return content[: match.start()] + chance.choice(TOKENS) + content[match.end() :]


def _span(content: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(content) + 1)
    return start, min(len(content), start + chance.choice((1, 3, 10, 40, 200)))


_CHANGES = (
    _cut,
    _repeat,
    _insert,
    _replace_byte,
    _replace_number,
    _replace_number,
    _replace_word,
    _swap_lines,
    _truncate,
)


def read_damaged(folder: str, name: str, content: bytes) -> str:
    """Write one damaged file, and read it as a campaign does, from a folder and alone.

    Returns
    -------
    what became of it: ``read``, ``left out`` or ``refused``

    Raises
    ------
    AssertionError
        Where a file is not counted. Anything else that is raised is a fault of a reader.
    """
    from pathlib import Path

    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.crystals.structure_files import read_crystals
    from imatgen_flows.crystals.templates import Template, check_crystal, reduce_crystals
    from imatgen_flows.errors import InputError

    file = Path(folder) / name
    file.write_bytes(content)
    if file.suffix == ".yaml":
        try:
            CampaignConfig.from_file(file)
        except InputError:
            return "refused"
        return "read"
    crystals = list(read_crystals(Path(folder), None, "templates"))
    reduced = reduce_crystals(check_crystal(raw) for raw in crystals)
    assert crystals, f"{name} is not counted"
    assert len(reduced) == len(crystals)
    assert len({raw.id for raw in crystals}) == len(crystals)
    try:
        list(read_crystals(file, None, "templates"))
    except InputError as error:
        assert str(error)
    return "read" if any(isinstance(item, Template) for item in reduced) else "left out"
