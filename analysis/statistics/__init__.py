"""Arrays in, tables out: no torch, no network."""
