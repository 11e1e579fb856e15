"""Several providers as one: which is asked when, what is cached for how long, who learns of a change."""
