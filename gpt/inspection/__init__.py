"""Looking into a model: `python -m gpt.inspect` writes a page about it and a text; `film` reads what a training recorded."""
