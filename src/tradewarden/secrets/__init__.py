"""Versioned secrets: put with compare-and-set, get, list, delete, undelete, destroy, roll back."""
