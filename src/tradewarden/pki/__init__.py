"""The certificate authority: made or brought along, issues, validates again, revokes."""
