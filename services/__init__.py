"""The services that platforms import by path."""
