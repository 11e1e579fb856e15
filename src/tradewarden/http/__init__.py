"""The door: one way that every HTTP request goes through."""
