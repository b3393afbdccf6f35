"""Models of the Hugging Face libraries: checkpoints in, trained models out.

config      config.json, and what it means here
parts       which tensor holds which parameter: one table for both directions
weights     safetensors into a model
tokenizer   the files of a tokenizer, written
export      a folder that transformers loads

Neither transformers nor PyTorch is needed.
"""
