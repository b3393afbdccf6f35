"""One page about a trained model and a text: `python -m gpt.inspect` collects its numbers and writes them into a file."""
