"""Top-1 and top-5: which images a network has right."""

import torch

from analysis.probes.metric import SavedMetric


def correct_at(logits: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """Whether each label is among the k greatest logits (all of them where there are fewer), bool (N,).

    >>> correct_at(torch.tensor([[0.1, 0.9, 0.5]]), torch.tensor([2]), 2)
    tensor([True])
    """
    top = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return (top == labels[:, None]).any(1)


class Accuracy(SavedMetric):
    """Top-1 and top-5 accuracy as fractions, from counts that add up over batches and processes.

    `update(logits, labels)` takes (N, K) and (N,); `compute()` gives {"images", "top1", "top5"}.

    >>> metric = Accuracy()
    >>> metric.update(torch.eye(10), torch.arange(10))
    >>> metric.compute()
    {'images': 10, 'top1': 1.0, 'top5': 1.0}
    """

    def __init__(self):
        super().__init__()
        for name in ("images", "top1", "top5"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum", persistent=True)

    def update(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.images += len(labels)
        self.top1 += correct_at(logits, labels, 1).sum()
        self.top5 += correct_at(logits, labels, 5).sum()

    def compute(self) -> dict[str, float]:
        images = int(self.images)
        if not images:
            raise ValueError("no images were measured")
        return {"images": images, "top1": int(self.top1) / images, "top5": int(self.top5) / images}
