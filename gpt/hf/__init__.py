"""Models of the Hugging Face libraries: checkpoints in, trained models out.

folder      the folder of a model, or its name on the Hub, and it is fetched; opened as safely as a run folder
config      config.json, and what it means here
parts       which tensor holds which parameter: one table for both directions
weights     safetensors into a model
tokenizer   the files of a tokenizer, written
export      a folder that transformers loads

Neither transformers nor PyTorch is needed.
"""
