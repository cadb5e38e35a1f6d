"""Studies: trainings of small networks, and what is measured of them."""

import analysis  # noqa: F401 — so that gelens is that of this clone, whatever is installed
