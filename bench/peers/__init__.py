"""Services that do the same work, measured beside ours when the environment names their binaries."""
