"""Batches of training images: shuffled, cropped and flipped, as the network takes them on its device.

All that is random of an image is a hash of the seed, the epoch and the image's index. Of several processes each reads
its share of the images of a batch, so that all together train on the batches of one.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from timm.data import create_transform
from torch.utils.data import DataLoader, Dataset

from .. import processes
from ..data import ImageData
from ..data.cached import decoded_in_memory
from ..data.loading import awaited, reading_errors_told, reading_processes
from ..devices import pins_memory, to_device
from ..networks.preprocessing import Preprocessing
from ..randomness import hashes
from .recipes import Recipe


class _Augmented(Dataset):
    """Training images as bytes, crops of a random area and aspect ratio, flipped at random."""

    def __init__(self, data: ImageData, recipe: Recipe, preprocessing: Preprocessing):
        self.data = data
        self.transform = create_transform(
            preprocessing.size,
            is_training=True,
            scale=recipe.crop_area,
            ratio=recipe.crop_aspect,
            hflip=recipe.flip,
            color_jitter=None,  # type: ignore[arg-type]  # timm takes None for none
            interpolation=preprocessing.interpolation,
            normalize=False,
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        image, label, _ = self.data[position]
        return self.transform(image), label


class CroppedAreas:
    """Batches of random crops of an area, decoded image by image: for photographs larger than the network takes."""

    def __init__(
        self, data: ImageData, recipe: Recipe, preprocessing: Preprocessing, device: torch.device, workers: int = 0
    ):
        self.recipe, self.preprocessing, self.device, self.indices = recipe, preprocessing, device, data.indices
        self.batches: list[list[int]] = []
        self.loader = DataLoader(
            _Augmented(data, recipe, preprocessing),
            batch_sampler=self.batches,
            pin_memory=pins_memory(device),
            **reading_processes(workers),
        )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return steps_of(len(self.indices), self.recipe)

    def epoch(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Images (N, 3, size, size) and labels (N,) on the device, in channels-last order.

        Crops are drawn from torch's own generators, which the caller seeds.
        """
        order, size = _order(self.recipe, self.indices, epoch).tolist(), self.recipe.batch_size
        self.batches[:] = [_own(order[step * size : (step + 1) * size]) for step in range(len(self))]
        with reading_errors_told(self.loader.num_workers > 0):
            yield from self._batches()

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for images, labels in awaited(self.loader):
            images = self.preprocessing.normalize(images.to(self.device, non_blocking=True))
            yield images, labels.to(self.device, non_blocking=True)


class PaddedCrops:
    """Batches of images padded, cropped to their own size and flipped, as tensor operations on the batch.

    The images are decoded once, into memory, and lie on the device as bytes.
    """

    def __init__(
        self,
        data: ImageData,
        recipe: Recipe,
        preprocessing: Preprocessing,
        device: torch.device,
        workers: int = 0,
        progress: bool = False,
    ):
        decoded = decoded_in_memory(data, preprocessing.geometry, workers, progress)
        self.recipe, self.preprocessing, self.device, self.indices = recipe, preprocessing, device, data.indices
        self.images = decoded.decoded(0, len(decoded)).to(device)
        self.labels = torch.from_numpy(decoded.labels).to(device)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return steps_of(len(self.indices), self.recipe)

    def epoch(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Images (N, 3, size, size) and labels (N,) on the device, in channels-last order."""
        recipe, size = self.recipe, self.recipe.batch_size
        assert recipe.padding is not None  # else they are `CroppedAreas`
        places = 2 * recipe.padding + 1
        row, column, chance = (
            hashes(recipe.seed, f"training {what}", self.indices, epoch) >> np.uint64(11)
            for what in ("row", "column", "flip")
        )
        drawn = np.stack(
            [
                _order(recipe, self.indices, epoch),
                (row % np.uint64(places)).astype(np.int64),
                (column % np.uint64(places)).astype(np.int64),
                chance < recipe.flip * 2**53,
            ]
        )
        order, rows, columns, flips = to_device(torch.from_numpy(drawn), self.device)
        for step in range(len(self)):
            chosen = _own(order[step * size : (step + 1) * size])
            images = cropped(
                self.images[chosen], recipe.padding, rows[chosen], columns[chosen], flips[chosen].to(torch.bool)
            )
            images = self.preprocessing.normalize(images).contiguous(memory_format=torch.channels_last)
            yield images, self.labels[chosen]


def cropped(
    images: torch.Tensor, padding: int, rows: torch.Tensor, columns: torch.Tensor, flips: torch.Tensor
) -> torch.Tensor:
    """Images padded with zeros on all sides and cropped to their own size, some then flipped left to right.

    Args:
        images: (N, C, H, W).
        padding: pixels on each side.
        rows, columns: (N,) of each crop's upper left corner in the padded image, 0 … 2·padding.
        flips: bool (N,).

    >>> image = torch.arange(1, 5).view(1, 1, 2, 2)  # a crop one down and one to the right, flipped
    >>> cropped(image, 1, torch.tensor([2]), torch.tensor([1]), torch.tensor([True])).view(2, 2).tolist()
    [[4, 3], [0, 0]]
    """
    number, _, height, width = images.shape
    down, right = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    right = torch.where(flips[:, None], width - 1 - right, right)
    padded = F.pad(images, [padding] * 4).permute(0, 2, 3, 1)
    which = torch.arange(number, device=images.device)[:, None, None]
    return padded[which, (rows[:, None] + down)[:, :, None], (columns[:, None] + right)[:, None]].permute(0, 3, 1, 2)


def training_batches(
    data: ImageData,
    recipe: Recipe,
    preprocessing: Preprocessing,
    device: torch.device,
    workers: int = 0,
    progress: bool = False,
) -> CroppedAreas | PaddedCrops:
    """The batches that a recipe asks for."""
    if recipe.padding is None:
        return CroppedAreas(data, recipe, preprocessing, device, workers)
    return PaddedCrops(data, recipe, preprocessing, device, workers, progress)


def _order(recipe: Recipe, indices: np.ndarray, epoch: int) -> np.ndarray:
    """Positions of the images in the order of an epoch."""
    return np.argsort(hashes(recipe.seed, "training order", indices, epoch), kind="stable")


def _own(batch):
    """This process's share of a batch."""
    return batch[processes.rank() :: processes.number()]


def images_of(step: int, images: int, recipe: Recipe) -> int:
    """How many images all processes together have in a step, from 0 on, of an epoch."""
    return min(recipe.batch_size, images - step * recipe.batch_size)


def _leaves_some_over(images: int, recipe: Recipe) -> bool:
    """Whether a process would have one image of the last batch, over which batch norm has no variance, or none.

    The last batch is left out then.
    """
    return 0 < images % recipe.batch_size < 2 * processes.number()


def steps_of(images: int, recipe: Recipe) -> int:
    """The steps of an epoch."""
    return -(-images // recipe.batch_size) - _leaves_some_over(images, recipe)
