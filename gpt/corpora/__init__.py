"""Corpora larger than memory: `python -m gpt.prepare` turns texts into files of tokens, `gpt.train --data` reads those.

sources      which files there are, in which order
documents    the texts in a file: text, JSON lines, parquet; gzip and zstandard
hub          the same of a dataset of the Hugging Face Hub
job          from texts to files of tokens, in steps that a kill does not lose
writing      the files of tokens while they are written
manifest     what a finished corpus says about itself
stored       a finished corpus, read window by window
"""
