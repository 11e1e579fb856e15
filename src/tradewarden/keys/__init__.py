"""The key hierarchy: root → purpose → version. The root wraps purpose keys and does nothing else."""
