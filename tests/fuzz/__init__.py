"""Valid small files of every kind, damaged by a seed, and read under guard."""
