"""From a recording to the tables of a run: no network, no torch."""
