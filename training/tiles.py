""" ADCNN's changes to a network (ICPP 2020): FDSP, clipped ReLU, quantisation. They are added to a network with hooks,
so that any module can be retrained and the original network is exported: at run time Tessera cuts the tiles, and the
codec of the cut tensor clips and quantises. """

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Stage:
    """Tiles of a grid (rows, columns), from the cut before (or the picture) through the submodule named `cut`."""

    cut: str
    grid: tuple[int, int]


def cut_tiles(whole: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """[n, c, h, w] -> [n * rows * cols, c, h / rows, w / cols]: each tile becomes a picture of its own, row by row."""
    rows, cols = grid
    n, c, h, w = whole.shape
    if h % rows != 0 or w % cols != 0:
        raise SystemExit(f"a map of {h}x{w} cells cannot be cut into {rows}x{cols} equal tiles")
    tiles = whole.reshape(n, c, rows, h // rows, cols, w // cols).permute(0, 2, 4, 1, 3, 5)
    return tiles.reshape(n * rows * cols, c, h // rows, w // cols)


def paste_tiles(tiles: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The inverse of `cut_tiles`."""
    rows, cols = grid
    n, c, h, w = tiles.shape
    whole = tiles.reshape(n // (rows * cols), rows, cols, c, h, w).permute(0, 3, 1, 4, 2, 5)
    return whole.reshape(n // (rows * cols), c, rows * h, cols * w)


class Travel(nn.Module):
    """
    Clipping and quantisation of a cut tensor x, exactly as in the codec:

        y = 0 if x < low; x - low if low <= x < high; high - low if x >= high      (clipped ReLU)
        q = floor(y * (2^bits - 1) / (high - low) + 1/2)                           (sent)
        y' = q * (high - low) / (2^bits - 1)                                       (input of the rest of the network)

    Each part is enabled by its step. Rounding uses a straight-through gradient. Computed in float64, as the
    codec's JavaScript does.

    During training sent values have a price, so that retraining does not undo the sparsity: `cost` is the mean
    of y / (high - low) times `price`, which rises while the codes' entropy is more than `share` of 32-bit floats and falls
    while it is less (dual ascent).
    """

    PRICE_STEP = 0.02

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits
        self.clips = False
        self.quantises = False
        self.register_buffer("bounds", torch.tensor([0.0, 1.0], dtype=torch.float64))
        self.share = 1.0
        self.cost: torch.Tensor | float = 0.0
        self.register_buffer("price", torch.tensor(0.0))

    @property
    def levels(self) -> int:
        return 2**self.bits - 1

    def codes(self, x: torch.Tensor) -> torch.Tensor:
        """q of the formula, as float64."""
        low, high = self.bounds
        return ((x.double() - low).clamp(min=0).minimum(high - low) * (self.levels / (high - low)) + 0.5).floor()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.clips:
            return x
        low, high = self.bounds
        clipped = (x.double() - low).clamp(min=0).minimum(high - low)
        codes = self.codes(x.detach()) if self.quantises or self.training else None
        if self.training:
            self.cost = self.price.clone() * (clipped / (high - low)).mean()
            excess = entropy_bits(codes, self.levels) / 32 / self.share - 1
            self.price.add_(self.PRICE_STEP * excess).clamp_(min=0)
        if self.quantises:
            # The value of the second term is exactly zero; its gradient is that of the clipped values.
            clipped = codes * ((high - low) / self.levels) + (clipped - clipped.detach())
        return clipped.float()


class Tiled(nn.Module):
    """A network that computes in tiles, one stage or several in a row; with `is_tiled` false it is the network itself."""

    def __init__(self, network: nn.Module, stages: list[Stage], bits: int):
        super().__init__()
        self.network = network
        self.stages = stages
        self.travel = nn.ModuleList(Travel(bits) for _ in stages)
        self.is_tiled = False
        # The cut tensors of the last run, whole, before clipping and quantisation; only filled while `keeps` is set.
        self.keeps = False
        self.kept: list[torch.Tensor] = []
        self.reached = 0
        modules = dict(network.named_modules())
        for number, stage in enumerate(stages):
            if stage.cut not in modules:
                raise SystemExit(f'the network has no submodule "{stage.cut}"; it has: {", ".join(filter(None, modules))}')
            modules[stage.cut].register_forward_hook(lambda _module, _inputs, out, number=number: self.at_cut(number, out))

    def at_cut(self, number: int, tiles: torch.Tensor) -> torch.Tensor | None:
        """Pastes a stage's tiles, clips and quantises the tensor, and cuts it again where a further stage follows."""
        if not self.is_tiled:
            return None
        if number != self.reached:
            raise SystemExit(f'"{self.stages[number].cut}" does not run exactly once and in the order of the stages')
        self.reached += 1
        if tiles.dim() != 4:
            raise SystemExit(f'"{self.stages[number].cut}" does not make a map of rows and columns')
        whole = paste_tiles(tiles, self.stages[number].grid)
        if self.keeps:
            self.kept.append(whole.detach())
        whole = self.travel[number](whole)
        return cut_tiles(whole, self.stages[number + 1].grid) if number + 1 < len(self.stages) else whole

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if not self.is_tiled:
            return self.network(pixels)
        self.reached, self.kept = 0, []
        answer = self.network(cut_tiles(pixels, self.stages[0].grid))
        if self.reached != len(self.stages):
            raise SystemExit(f'"{self.stages[self.reached].cut}" was not reached')
        if len(answer) != len(pixels):
            raise SystemExit("an operator before the last cut mixes tiles")
        return answer

    def cost(self) -> torch.Tensor | float:
        """Price of the results of the last run, to be added to the loss."""
        return sum(travel.cost for travel in self.travel if travel.clips)

    @torch.no_grad()
    def cut_tensors(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The cut tensors [n, c, h, w] of these pictures, before clipping and quantisation."""
        self.keeps = True
        self(pixels)
        kept, self.keeps, self.kept = self.kept, False, []
        return kept


@torch.no_grad()
def check_grids(tiled: Tiled, size: tuple[int, int]) -> None:
    """Exits where pictures of this size are not divisible by the grids, or a tile's result does not fit its place."""
    stages, was_tiled = tiled.stages, tiled.is_tiled
    tiled.eval()
    tiled.is_tiled = True
    pixels = torch.zeros(1, 3, *size)
    try:
        made = [cut.shape for cut in tiled.cut_tensors(pixels)]
    except (RuntimeError, ValueError) as refusal:
        grids = " and ".join(f'{stage.grid[0]}x{stage.grid[1]} through "{stage.cut}"' for stage in stages)
        raise SystemExit(f"tiles of {grids} cannot be computed: {str(refusal).splitlines()[0]}; take fewer tiles, or an earlier cut")
    tiled.stages = [Stage(stage.cut, (1, 1)) for stage in stages]
    whole = [cut.shape for cut in tiled.cut_tensors(pixels)]
    tiled.stages, tiled.is_tiled = stages, was_tiled
    for stage, given, wanted in zip(stages, made, whole):
        if given != wanted:
            raise SystemExit(
                f'{stage.grid[0]}x{stage.grid[1]} tiles through "{stage.cut}" make {list(given)} where the whole makes '
                f"{list(wanted)}: the sides of a tile have to divide by all strides on its way"
            )


def entropy_bits(codes: torch.Tensor, levels: int) -> float:
    """Zero-order entropy: bits per symbol by the symbols' frequencies."""
    share = torch.bincount(codes.flatten().long(), minlength=levels + 1).double() / codes.numel()
    share = share[share > 0]
    return float(-(share * share.log2()).sum())


# Candidates for the upper clip bound: quantiles of a cut tensor's positive values.
TOPS = (0.99, 0.999, 0.9999, 1.0)


def distortion(values: torch.Tensor, codes: torch.Tensor, levels: int) -> float:
    """Quantisation error: the mean squared distance of values from the mean of those with the same code."""
    codes = codes.long()
    count = torch.bincount(codes, minlength=levels + 1).clamp(min=1)
    means = torch.bincount(codes, weights=values, minlength=levels + 1) / count
    return float((values - means[codes]).square().mean())


def choose_bounds(values: torch.Tensor, travel: Travel, share: float) -> tuple[float, float]:
    """
    Clip bounds for a cut tensor from observed values. Each upper bound `high` of TOPS has a lower one: the least for which the
    entropy of the codes is at most `share` of 32-bit floats. The pair with the least distortion is chosen. Rounded,
    since they are written to model.yaml.
    """
    values = values.flatten().double()
    if len(values) > 1_000_000:
        values = values[:: len(values) // 1_000_000]
    positive = values[values > 0].sort().values
    if len(positive) == 0:
        raise SystemExit("the cut tensor has no positive values: cut after a ReLU")
    trial = Travel(travel.bits)

    def codes(low: float, high: float) -> torch.Tensor:
        trial.bounds = torch.tensor([low, high], dtype=torch.float64)
        return trial.codes(values)

    def lowest(high: float) -> float:
        below, above = 0.0, high * 0.95
        if entropy_bits(codes(0.0, high), trial.levels) / 32 <= share:
            return 0.0
        for _ in range(20):
            middle = (below + above) / 2
            if entropy_bits(codes(middle, high), trial.levels) / 32 > share:
                below = middle
            else:
                above = middle
        return above

    highs = [float(positive[int(top * (len(positive) - 1))]) for top in TOPS]
    pairs = [(lowest(high), high) for high in highs]
    low, high = min(pairs, key=lambda pair: distortion(values, codes(*pair), trial.levels))
    return float(f"{low:.4g}"), float(f"{high:.4g}")
