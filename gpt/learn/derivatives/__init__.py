"""The exercises in which one writes a derivative: which numbers they are checked with, and the usual mistakes."""
