"""The pass over the data."""
