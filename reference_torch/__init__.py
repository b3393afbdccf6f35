"""The same model on PyTorch: the second opinion on outputs and gradients.

`model.py` is `gpt/model.py` with other imports and no other difference; a test holds the two to it.
"""
