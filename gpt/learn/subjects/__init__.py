"""What the tests that readers write are tried on: one function each, from whose text gpt/learn/mutants.py makes wrong ones."""
