"""Training of the three networks, and how well they give the training structures back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ModelDocument, ReconstructionDocument
from imatgen_flows.settings import get_settings

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor
    from imatgen_flows.representation import PackedCrystals


# among the other results of a network
UNSEEN = "unseen_templates"  # of one that did not start anew here
PRIOR = "prior_metrics"  # of a generator that has a prior, as `metrics`


@cached_job(ModelDocument)
def train_autoencoder(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    role: str,
    generator: dict[str, Any],
    start: ModelDocument | None = None,
) -> dict[str, Any]:
    """Train the autoencoder of one kind of image; `role` is cell or basis, `start` a network to go on from."""
    from imatgen_flows.models.fitting import fit_basis_autoencoder, fit_cell_autoencoder
    from imatgen_flows.representation import PackedCrystals

    preset = preset_of(generator)
    fit = fit_cell_autoencoder if role == "cell" else fit_basis_autoencoder
    crystals = PackedCrystals.load(dataset.packed.path())
    seen = crystals[training_rows(dataset, generator)]
    model, history = fit(seen, getattr(preset, role), generator["seed"], scratch, use_device(), _weights(start))
    fields = _model_document(store, model, history, role, preset, generator["seed"])
    return fields | {"extra": _inherited(store, dataset, generator, start)}


@cached_job(ModelDocument)
def train_generator(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    labels: LabelDocument,
    cell: ModelDocument,
    basis: ModelDocument,
    generator: dict[str, Any],
    start: ModelDocument | None = None,
) -> dict[str, Any]:
    """Train the generator, its classifier and its prior on the codes of the training structures."""
    import torch

    from imatgen_flows.models.fitting import fit_generator, fit_prior
    from imatgen_flows.representation import PackedCrystals

    device = use_device()
    preset = preset_of(generator)
    rows = training_rows(dataset, generator)
    crystals = PackedCrystals.load(dataset.packed.path())[rows]
    codes, present = load_compressor(dataset, cell, basis, generator).encode(crystals)
    known = read_lines(labels.labels)
    stable, energies = (
        torch.tensor([float("nan") if known[row][name] is None else float(known[row][name]) for row in rows])
        for name in ("stable", "formation_energy")
    )
    seed, begin = generator["seed"], _weights(start)
    model, history = fit_generator(codes, present, stable, preset, seed, scratch, device, begin)
    asked = conditions(crystals, energies, preset.max_elements)
    prior: list[dict[str, Any]] = []
    if model.prior and len(rows) >= model.prior.settings.enough:
        prior = fit_prior(model, codes, asked, seed, scratch / "prior")
    elif model.prior:
        model.prior.forget()
    fields = _model_document(store, model, history, "generator", preset, seed)
    extra = _inherited(store, dataset, generator, start)
    return fields | {"extra": extra | ({PRIOR: store.put_lines("metrics-prior", prior)} if prior else {})}


@cached_job(ReconstructionDocument)
def evaluate_reconstruction(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    cell: ModelDocument,
    basis: ModelDocument,
    vae: ModelDocument,
    generator: dict[str, Any],
) -> dict[str, Any]:
    """Send every structure through the networks and compare what comes back; held-out ones with refined codes too."""
    import torch

    from imatgen_flows.metrics.reconstruction import compare, summarise
    from imatgen_flows.models.crystal_model import BATCH
    from imatgen_flows.models.inversion import invert_autoencoder, invert_decoder
    from imatgen_flows.representation import PackedCrystals

    crystals = PackedCrystals.load(dataset.packed.path())
    model = load_generator(dataset, cell, basis, vae, generator)
    compressor = model.compressor
    quick = compressor.preset.basis.style == "patched"
    structures = read_lines(dataset.crystals)
    unseen = unseen_templates(dataset, generator, vae)
    hidden = torch.tensor([row["template"] in unseen and not _stays(row) for row in structures])
    codes, _ = compressor.encode(crystals)
    summaries: dict[str, dict] = {}
    rows: list[dict] = []
    for path, chosen, decode in (
        ("images", ~hidden, lambda part: compressor.decode(codes[part])),
        ("images_held_out", hidden, lambda part: compressor.decode(codes[part])),
        (
            "images_refined_held_out",
            hidden,
            lambda part: compressor.decode(invert_autoencoder(compressor, crystals[part])),
        ),
        ("generator", ~hidden, lambda part: model.decode(model.vae.encode(codes[part]))),
        ("generator_held_out", hidden, lambda part: model.decode(model.vae.encode(codes[part]))),
        ("generator_refined_held_out", hidden, lambda part: model.decode(invert_decoder(model, crystals[part]))),
    ):
        # steps through convolutions are too slow for many
        if not chosen.any() or ("refined" in path and not quick):
            continue
        errors = []
        for part in chosen.nonzero()[:, 0].split(BATCH):
            errors += compare(crystals[part], compressor.codec.read_unchecked(decode(part))[0])
        summaries[path] = summarise(errors)
        rows += [
            {
                "path": path.removesuffix("_held_out"),
                "id": structures[row]["id"],
                "training": not bool(hidden[row]),
                "full": error.fully_reconstructed,
            } | vars(error)
            for row, error in zip(chosen.nonzero()[:, 0].tolist(), errors, strict=True)
        ]  # fmt: skip
    return {"errors": store.put_lines("reconstruction", rows), "summaries": summaries}


def conditions(crystals: PackedCrystals, energies: Tensor, channels: int) -> Tensor:
    """Say what the prior may be asked for (`LatentPrior`): atoms of each element, and the energy (B,) in eV/atom."""
    import torch

    asked = torch.zeros(len(crystals), channels + 1)
    asked[:, : len(crystals.elements)] = crystals.counts().float()
    asked[:, -1] = energies
    return asked


def training_rows(dataset: DatasetDocument, generator: dict[str, Any]) -> Any:
    """Rows (n,) of the dataset that the networks see.

    Whole templates are held out, with all structures made from them. Known phases and what earlier rounds found are never
    held out: samples start from them.
    """
    import torch

    held_out = _held_out_templates(dataset, generator)
    rows = read_lines(dataset.crystals)
    return torch.tensor([i for i, row in enumerate(rows) if _stays(row) or row["template"] not in held_out])


def unseen_templates(dataset: DatasetDocument, generator: dict[str, Any], network: ModelDocument) -> set[str]:
    """Name the templates that a network has not seen: not here, nor before it came here."""
    if UNSEEN in network.extra:
        return set(read_json(network.extra[UNSEEN]))
    return _held_out_templates(dataset, generator)


def _held_out_templates(dataset: DatasetDocument, generator: dict[str, Any]) -> set[str]:
    import torch

    templates = sorted({row["template"] for row in read_lines(dataset.crystals) if not _stays(row)})
    random = torch.Generator().manual_seed(generator["seed"])
    order = torch.randperm(len(templates), generator=random).tolist()
    return {templates[i] for i in order[: round(generator["holdout"] * len(templates))]}


def _stays(row: dict[str, Any]) -> bool:
    """Whether a structure is never held out."""
    return row["known"] or row.get("learnt", False)


def _inherited(
    store: ArtifactStore, dataset: DatasetDocument, generator: dict[str, Any], start: ModelDocument | None
) -> dict[str, Any]:
    """Pass on which templates stay unseen, where a network was trained on others before it came here."""
    if start is None or UNSEEN not in start.extra:
        return {}
    unseen = set(read_json(start.extra[UNSEEN])) & _held_out_templates(dataset, generator)
    return {UNSEEN: store.put_json("unseen-templates", sorted(unseen))}


def preset_of(generator: dict[str, Any]) -> Any:
    """Return the preset that a campaign's `generator` section asks for."""
    from imatgen_flows.models.presets import get_preset

    return get_preset(generator["preset"], generator["grid"], generator["epochs"])


def use_device() -> str:
    """Choose where networks run, and how many threads a CPU gives them.

    Raises
    ------
    InputError
        Where the settings ask for a GPU that is not there.
    """
    import torch

    settings = get_settings()
    torch.set_num_threads(settings.threads)
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "IMATGEN_DEVICE is `cuda`, but torch sees no GPU here. Set it to `auto` or `cpu`, or use a GPU node."
        )
    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return settings.device


def load_compressor(
    dataset: DatasetDocument, cell: ModelDocument, basis: ModelDocument, generator: dict[str, Any]
) -> ImageCompressor:
    """Read both autoencoders back."""
    import torch

    from imatgen_flows.models.autoencoder import ImageAutoencoder, build_autoencoder
    from imatgen_flows.models.crystal_model import ImageCompressor, load_weights

    use_device()
    preset = preset_of(generator)
    networks = {"cell": build_autoencoder(preset.cell), "basis": ImageAutoencoder(preset.basis)}
    for role, document in (("cell", cell), ("basis", basis)):
        load_weights(networks[role], document.weights.path())
        # faster where there are convolutions
        networks[role].to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # which torch's stubs leave out
    return ImageCompressor(preset, tuple(dataset.elements), networks["cell"], networks["basis"])


def load_generator(
    dataset: DatasetDocument, cell: ModelDocument, basis: ModelDocument, vae: ModelDocument, generator: dict[str, Any]
) -> CrystalModel:
    """Read all three networks back."""
    from imatgen_flows.models.crystal_model import CrystalModel, load_weights
    from imatgen_flows.models.materials_vae import MaterialsVAE

    compressor = load_compressor(dataset, cell, basis, generator)
    preset = compressor.preset
    model = MaterialsVAE(preset.generator, preset.max_elements + 1, compressor.width, preset.prior)
    load_weights(model, vae.weights.path())
    return CrystalModel(compressor, model)


def _weights(start: ModelDocument | None) -> Path | None:
    return start.weights.path() if start else None


def _model_document(
    store: ArtifactStore, model: Any, history: list[dict], role: str, preset: Any, seed: int
) -> dict[str, Any]:
    from dataclasses import asdict

    from imatgen_flows.models.crystal_model import save_weights

    with store.new(f"weights-{role}", ".safetensors") as pending:
        save_weights(model, pending.path)
    return {
        "role": role,
        "preset": preset.name,
        "settings": asdict(getattr(preset, role)),
        "weights": pending.ref,
        "metrics": store.put_lines(f"metrics-{role}", history),
        "epochs": len(history),
        "loss": history[-1]["loss"] if history else 0.0,
        "seed": seed,
    }
