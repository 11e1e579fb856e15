"""The benchmark: this service as a user starts it, side by side with its peers, under load from wrk."""
