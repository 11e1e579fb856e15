"""What is a credential and what is not: by its key, by its shape, by where it stands."""
