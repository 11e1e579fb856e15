"""Reading files for what could be a credential: one reader a format, each giving candidates with exact places."""
