"""Ratios against the alternative in the same run."""

import analysis  # noqa: F401 — so that gelens is that of this clone, whatever is installed
