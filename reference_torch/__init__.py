"""The same model and training loop on PyTorch, to compare outputs, gradients and updates with.

python -m reference_torch.train       the main job, by PyTorch
python -m reference_torch.lockstep    both engines side by side, compared tensor by tensor at every step

`model.py` is `gpt/model.py` but for its imports; so are `cache.py`, `bigram.py` and `build.py`. A test asserts it.
"""

import sys

if sys.argv[:1] == ["-m"]:  # python -m reference_torch.NAME: Ctrl-C ends it quietly, also while it still imports
    import tinytensor.ctrl_c  # noqa: F401

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    message = f"reference_torch compares with PyTorch ({error}); install it: pip install torch"
    if sys.argv[0] == "-m":  # python -m reference_torch.…: Python is still looking for the module
        sys.exit(message)
    raise ImportError(message) from error
