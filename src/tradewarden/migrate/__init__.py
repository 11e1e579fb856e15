"""The way out of hard-coded credentials: find them, move them to a provider, rewrite the code that held them."""
