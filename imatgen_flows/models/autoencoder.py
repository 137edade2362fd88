"""Image autoencoders: they compress the image of a cell, or of the atoms of one element, to a short code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imatgen_flows.models.presets import AutoencoderSettings
from imatgen_flows.representation import CellImageCodec

# All four are without a unit. They were set once, with the `default` preset, and kept: notebook/ has what was measured.
EMPTY = -4.0  # initial bias of the output: its sigmoid is 0.02, the value below which a voxel of an image is empty
GROUPS = 8  # groups of channels of a group normalisation; it must divide the number of channels
MARGIN = 0.05  # overshoot of a clipped output at both ends of [0, 1], so that a voxel can be exactly empty
INPUT_SCALE = (
    5.0  # factor on the input: the Gaussians fill a percent of the voxels, and layers want numbers of order one
)


def build_autoencoder(settings: AutoencoderSettings) -> ImageAutoencoder | MetricAutoencoder:
    """Build an autoencoder from its settings, with random weights."""
    return MetricAutoencoder(settings) if settings.style == "metric" else ImageAutoencoder(settings)


class ImageAutoencoder(nn.Module):
    """Autoencoder of cubic images (paper, Sections S1.1 and S1.2), in one of three styles.

    `published` is the paper's: convolutions without biases or normalisation, leaky ReLU, tanh codes. `patched` is ours:
    blocks of voxels are merged step by step by dense layers, with normalisation, linear codes of zero mean and unit
    variance, and an output that starts near zero, so that the many empty voxels do not pull training to the empty image.
    On a CPU its matrix products are ten times cheaper than convolutions of the usual widths. `convolved` has the paper's
    convolutions with these normalisations, codes and output, for a GPU: convolutions are equivariant to translation, so
    that what is learned of an atom in one place holds in all.

    Parameters
    ----------
    settings : grid, channels, code length and style
    """

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder: nn.Sequential
        self.decoder: nn.Sequential
        build = {"published": _published, "convolved": _convolved, "patched": _patched}[settings.style]
        self.encoder, self.decoder = build(settings)

    def encode(self, images: Tensor) -> Tensor:
        """Map (B, N, N, N) images to (B, code) codes."""
        if self.settings.style == "patched":
            return self.encoder(images[..., None] * INPUT_SCALE)
        return self.encoder(images[:, None]).flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Map (B, code) codes to (B, N, N, N) images in [0, 1]."""
        return self._output(self._logits(codes)).clamp(0, 1)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Reconstruct images; `noise` (B, code) is added to the codes."""
        codes = self.encode(images)
        return self.decode(codes if noise is None else codes + noise)

    def compare(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Reconstruct images; return output before clipping, and target, with their voxels in the same order.

        The order itself does not matter to a loss. `patched` keeps the voxels block by block, as its layers have them: to
        put them back in their places takes a third of the time of a training step on a CPU.
        """
        if self.settings.style != "patched":
            codes = self.encode(images)
            return self._output(self._logits(codes if noise is None else codes + noise)), images
        blocks = self.encoder[0](images[..., None])
        codes = self.encoder[1:](blocks * INPUT_SCALE)
        return self._output(self.decoder[:-1](codes if noise is None else codes + noise)), blocks

    def _logits(self, codes: Tensor) -> Tensor:
        """Map codes to the activations of the last layer, one for each voxel."""
        raw = self.decoder(codes)
        return raw[..., 0] if self.settings.style == "patched" else raw[:, 0]

    def _output(self, raw: Tensor) -> Tensor:
        """Map activations to the range of images, [0, 1]; `clipped` overshoots it by `MARGIN` at both ends.

        A sigmoid is never zero, and its sum over thousands of empty voxels is that of another atom.
        """
        if self.settings.output == "ramp":
            return (2500 * raw).clamp(0, 1)  # slope of the authors' scripts
        images = torch.sigmoid(raw)
        return images if self.settings.output == "sigmoid" else (1 + 2 * MARGIN) * images - MARGIN


class MetricAutoencoder(nn.Module):
    """Autoencoder of cell images whose code is the logarithm of the metric tensor; it has no weights to train.

    A cell image is one Gaussian, so that the metric tensor G, which the codec fits to it, determines it. The code is log G,
    which is any symmetric matrix: every code is a cell, if perhaps one too large for its image to be read. It is scaled to
    zero mean and unit variance over the dataset; the decoder is the renderer. The reconstruction is exact.

    Parameters
    ----------
    settings : grid and sigma of the images; the code has six numbers
    """

    ROWS, COLUMNS = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)
    THIN, WIDE = 0.1, 100.0  # A, bounds on the principal axes of a decoded cell, far from those of any crystal
    mean: Tensor
    std: Tensor

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.codec = CellImageCodec(grid=settings.grid, sigma=settings.sigma)
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("std", torch.ones(6))

    @torch.no_grad()
    def fit(self, lattices: Tensor) -> None:
        """Set the scale of the code from the cells (B, 3, 3) of a dataset, A."""
        raw = self._log_metric(lattices @ lattices.transpose(1, 2))
        self.mean.copy_(raw.mean(0))
        # where all cells are cubic some components do not vary; the floor keeps their codes finite
        self.std.copy_(raw.std(0, correction=0).clamp(min=0.01))

    def encode_lattices(self, lattices: Tensor) -> Tensor:
        """Map cells (B, 3, 3), A, to the (B, 6) codes of their images, without rendering these."""
        return (self._log_metric(lattices @ lattices.transpose(1, 2)) - self.mean) / self.std

    def encode(self, images: Tensor) -> Tensor:
        """Map (B, N, N, N) images to (B, 6) codes."""
        return (self._log_metric(self.codec.metric_tensors(images)) - self.mean) / self.std

    def decode(self, codes: Tensor) -> Tensor:
        """Map (B, 6) codes to (B, N, N, N) images."""
        raw = (codes * self.std + self.mean).double()
        log_metric = raw.new_zeros(len(raw), 3, 3)
        log_metric[:, self.ROWS, self.COLUMNS] = raw
        log_metric[:, self.COLUMNS, self.ROWS] = raw
        values, vectors = torch.linalg.eigh(log_metric)
        axes = (values / 2).exp().clamp(self.THIN, self.WIDE)
        return self.codec.encode(vectors * axes[:, None, :])  # rows R with R R^T = G, in some orientation

    def _log_metric(self, metric: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(metric)
        logarithm = vectors @ torch.diag_embed(values.clamp(min=1e-6).log()) @ vectors.transpose(1, 2)
        return logarithm[:, self.ROWS, self.COLUMNS]


def _published(settings: AutoencoderSettings) -> tuple[nn.Sequential, nn.Sequential]:
    """Build encoder and decoder of the paper's convolutions."""
    sizes = (1, *settings.channels)
    down: list[nn.Module] = []
    for wide, narrow in zip(sizes, sizes[1:], strict=False):
        down += [nn.Conv3d(wide, narrow, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    encoder = nn.Sequential(*down, nn.Conv3d(sizes[-1], settings.code, 4, bias=False), nn.Tanh())
    up: list[nn.Module] = [nn.Unflatten(1, (settings.code, 1, 1, 1))]
    up += [nn.ConvTranspose3d(settings.code, sizes[-1], 4, bias=False), nn.LeakyReLU(0.2)]
    reverse = sizes[::-1]
    for wide, narrow in zip(reverse, reverse[1:], strict=False):
        up += [nn.ConvTranspose3d(wide, narrow, 4, 2, 1, bias=False)]
        up += [nn.LeakyReLU(0.2)] if narrow > 1 else []
    decoder = nn.Sequential(*up)
    for layer in (*encoder, *decoder):
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.xavier_uniform_(layer.weight)
    return encoder, decoder


def _convolved(settings: AutoencoderSettings) -> tuple[nn.Sequential, nn.Sequential]:
    """Build encoder and decoder of normalised convolutions."""
    sizes = (1, *settings.channels)
    last = sizes[-1]

    def normalised(channels: int) -> list[nn.Module]:
        return [nn.GroupNorm(GROUPS, channels), nn.SiLU()]

    down: list[nn.Module] = []
    for wide, narrow in zip(sizes, sizes[1:], strict=False):
        down += [nn.Conv3d(wide, narrow, 4, 2, 1, bias=False), *normalised(narrow)]
    encoder = nn.Sequential(
        *down, nn.Flatten(), nn.Linear(4**3 * last, settings.code), nn.BatchNorm1d(settings.code, affine=False)
    )
    up: list[nn.Module] = [nn.Linear(settings.code, 4**3 * last), nn.Unflatten(1, (last, 4, 4, 4)), *normalised(last)]
    for wide, narrow in zip(sizes[:1:-1], sizes[-2:0:-1], strict=True):
        up += [nn.ConvTranspose3d(wide, narrow, 4, 2, 1, bias=False), *normalised(narrow)]
    output = nn.ConvTranspose3d(sizes[1], 1, 4, 2, 1)
    nn.init.constant_(output.get_parameter("bias"), EMPTY)
    return encoder, nn.Sequential(*up, output)


class _Merge(nn.Module):
    """Merge blocks of p^3 neighbours into channels: (B, k, k, k, c) to (B, k/p, k/p, k/p, p^3 c)."""

    def __init__(self, p: int) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        b, k, c, p = len(x), x.shape[1] // self.p, x.shape[-1], self.p
        return x.reshape(b, k, p, k, p, k, p, c).permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(b, k, k, k, p**3 * c)


class _Split(nn.Module):
    """Split channels into blocks of p^3 neighbours, the inverse of `_Merge`."""

    def __init__(self, p: int) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        b, k, p = len(x), x.shape[1], self.p
        c = x.shape[-1] // p**3
        return x.reshape(b, k, k, k, p, p, p, c).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(b, k * p, k * p, k * p, c)


def _patched(settings: AutoencoderSettings) -> tuple[nn.Sequential, nn.Sequential]:
    """Build encoder and decoder of dense layers that merge and split blocks of voxels."""
    # first 4^3 voxels are merged, then 2^3 blocks at a time, until 4^3 blocks are left
    sizes = (1, *settings.channels)
    steps = (4, *[2] * (len(settings.channels) - 1))
    last, blocks = sizes[-1], 4**3
    down: list[nn.Module] = []
    for p, fine, coarse in zip(steps, sizes, sizes[1:], strict=False):
        down += [_Merge(p), nn.Linear(p**3 * fine, coarse), nn.LayerNorm(coarse), nn.SiLU()]
    # without affine weights the codes have zero mean and unit variance, so that noise on them has a scale
    encoder = nn.Sequential(
        *down, nn.Flatten(), nn.Linear(blocks * last, settings.code), nn.BatchNorm1d(settings.code, affine=False)
    )
    up: list[nn.Module] = [
        nn.Linear(settings.code, blocks * last),
        nn.Unflatten(1, (4, 4, 4, last)),
        nn.LayerNorm(last),
        nn.SiLU(),
    ]
    for p, coarse, fine in zip(steps[:0:-1], sizes[:1:-1], sizes[-2:0:-1], strict=True):
        up += [nn.Linear(coarse, p**3 * fine), _Split(p), nn.LayerNorm(fine), nn.SiLU()]
    output = nn.Linear(sizes[1], steps[0] ** 3)
    nn.init.constant_(output.bias, EMPTY)
    return encoder, nn.Sequential(*up, output, _Split(steps[0]))
