"""Rotation: policies, the four steps of a rotation, the rotators that carry them out."""
