"""Names of `alpha_pulse.utils`."""
