"""Names of the networks, of their presets, and of the ways to draw new latent vectors."""

from __future__ import annotations

from dataclasses import dataclass

from imatgen_flows.registry import DescribedEnum, Entry, Registry


@dataclass(frozen=True)
class Sampler(Entry):
    """A way to draw latent vectors.

    Parameters
    ----------
    default : number of samples in a round, unless the campaign file gives one
    """

    default: int = 0


PERTURB, SLERP, PRIOR, ASCENT = "perturb", "slerp", "prior", "ascent"

# in the order in which they are drawn: each has a seed of its own, the campaign's plus its place here
SAMPLERS = Registry(
    "sampler",
    Sampler(PERTURB, "Perturbation", "Latent vectors near those of known or stable structures.", 100),
    Sampler(SLERP, "Interpolation", "Spherical interpolation between pairs of stable structures.", 400),
    Sampler(
        PRIOR,
        "Prior",
        "Draws from the prior over latent vectors: a trained flow, or a Gaussian where there are few structures.",
        400,
    ),
    Sampler(
        ASCENT,
        "Latent optimisation",
        "Gradient ascent on the predicted stability, in a trust region around latent vectors of known or stable structures.",
    ),
)

PRETRAINED = "pretrained"  # preset and name of the model that ships with the program
PRETRAINED_LARGE = "pretrained-large"
ANEW = "none"  # where the name or file of a model may stand: no model, so that networks are trained anew

PRESETS = Registry(
    "preset",
    Entry("default", "Default", "The best for a CPU."),
    Entry("large", "Large", "With convolutions, for thousands of structures and a GPU."),
    Entry("paper", "Paper", "As published."),
    Entry(PRETRAINED, "Pretrained", "Of prototypes, for any system of two to five elements."),
    Entry(PRETRAINED_LARGE, "Pretrained, large", "The same with convolutions, wider and longer, for a GPU."),
)


class ModelRole(DescribedEnum):
    """The networks of a model, in the order in which they are trained."""

    CELL = "cell", "cell autoencoder", "Compresses the image of the cell."
    BASIS = "basis", "basis autoencoder", "Compresses the images of the atoms, one for each element."
    VAE = "vae", "VAE", "Variational autoencoder over the codes of all images, with its classifier and its prior."


ROLES: tuple[str, ...] = tuple(role.value for role in ModelRole)
