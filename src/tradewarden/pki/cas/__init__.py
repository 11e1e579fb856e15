"""The CAs of an installation: how they come to be, where their keys lie, how they follow one another."""
