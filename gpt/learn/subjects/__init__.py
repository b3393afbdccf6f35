"""What the tests of readers are tried on: one function each, of whose text gpt/learn/mutants.py makes wrong ones."""
