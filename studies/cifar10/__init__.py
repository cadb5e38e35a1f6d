"""The study on CIFAR-10."""

import analysis  # noqa: F401 — so that gelens is that of this clone, whatever is installed
