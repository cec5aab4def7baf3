"""Training pictures: record files and folders of pictures; normalisation and augmentation."""

from pathlib import Path

import numpy as np
import torch

from progress import Progress

# (pixel / SCALE - MEAN) / STD, the same for red, green and blue; repeated in model.yaml.
SCALE, MEAN, STD = 255.0, 0.5, 0.25

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class Pictures:
    """Labels [n] and pixels [n, 3, h, w] (bytes) of a data set, and the names of its classes where known."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor, classes: list[str]):
        self.pixels, self.labels, self.classes = pixels, labels, classes

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return tuple(self.pixels.shape[2:])

    def part(self, chosen: torch.Tensor) -> "Pictures":
        """The pictures of these indices; those of a set on disk are read into memory."""
        return Pictures(self.pixels[chosen], self.labels[chosen], self.classes)


def read_records(files: list[Path], size: tuple[int, int]) -> Pictures:
    """Files of `npm run scenes` and CIFAR-10's binary files: records of a label byte and three planes of h x w bytes."""
    height, width = size
    record = 1 + 3 * height * width
    parts = []
    for file in files:
        if file.stat().st_size % record != 0:
            raise SystemExit(f"{file} does not hold whole pictures of {height}x{width}: was it written with another --size?")
        parts.append(np.fromfile(file, dtype=np.uint8).reshape(-1, record))
    records = np.concatenate(parts) if len(parts) > 1 else parts[0]
    labels = torch.from_numpy(records[:, 0].astype(np.int64))
    return Pictures(torch.from_numpy(records[:, 1:].reshape(-1, 3, height, width)), labels, [])


def classes_of(folder: Path) -> list[str]:
    """Names of the classes of FOLDER/<class>/<picture>, in their order."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def read_folder(folder: Path, size: tuple[int, int], store: Path) -> Pictures:
    """
    FOLDER/<class>/<picture>, classes in the order of their names, each picture stretched to `size`. Decoded pictures are
    kept in the file `store` and mapped into memory from there, so that large sets fit and the next start is quick.
    """
    from PIL import Image

    height, width = size
    classes = classes_of(folder)
    files = [
        (file, label)
        for label, name in enumerate(classes)
        for file in sorted((folder / name).rglob("*"))
        if file.suffix.lower() in PICTURES
    ]
    if not files:
        raise SystemExit(f"{folder} holds no folders with pictures: a folder for each class is expected")
    if not store.exists():
        store.parent.mkdir(parents=True, exist_ok=True)
        unfinished = store.with_suffix(".tmp")
        pixels = np.lib.format.open_memmap(unfinished, "w+", np.uint8, (len(files), 3, height, width))
        progress = Progress(f"decode {folder}", len(files), "pictures")
        for number, (file, _) in enumerate(files):
            with Image.open(file) as picture:
                picture = picture.convert("RGB")
                if picture.size != (width, height):
                    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
                pixels[number] = np.asarray(picture).transpose(2, 0, 1)
            progress(number + 1)
        pixels.flush()
        unfinished.replace(store)
    pixels = np.load(store, mmap_mode="c")
    if pixels.shape != (len(files), 3, height, width):
        raise SystemExit(f"{store} was made from other pictures or another size: delete it")
    return Pictures(torch.from_numpy(pixels), torch.tensor([label for _, label in files]), classes)


def split_off(pictures: Pictures, share: float, seed: int) -> tuple[Pictures, Pictures]:
    """Splits off a share of the set; the split depends on the seed only. Returns the rest and the share."""
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))
    held = round(len(pictures) * share)
    return pictures.part(order[held:].sort().values), pictures.part(order[:held].sort().values)


def normalise(pixels: torch.Tensor, mean: float | torch.Tensor = MEAN, std: float | torch.Tensor = STD) -> torch.Tensor:
    """Bytes -> normalised network input."""
    return (pixels.float() / SCALE - mean) / std


def vary(pixels: torch.Tensor, random: torch.Generator, reach: int = 8) -> torch.Tensor:
    """Augmentation: mirrors half of the pictures and shifts each by up to `reach` pixels, with black borders."""
    mirrored = torch.rand(len(pixels), generator=random) < 0.5
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    height, width = pixels.shape[2:]
    framed = torch.nn.functional.pad(pixels, (reach, reach, reach, reach))
    shifts = torch.randint(0, 2 * reach + 1, (len(pixels), 2), generator=random).tolist()
    return torch.stack([one[:, y : y + height, x : x + width] for one, (y, x) in zip(framed, shifts)])
