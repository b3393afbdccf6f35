"""Seeing what happens: every call with its values, its lines and its gradients; the values of a model by name."""
