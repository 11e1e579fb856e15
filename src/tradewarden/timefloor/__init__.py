"""The time floor: the latest time that this installation has seen, which a clock set back does not take from it."""
