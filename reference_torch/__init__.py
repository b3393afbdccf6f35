"""The same model and training loop on PyTorch: the second opinion on outputs, gradients and updates.

python -m reference_torch.train       the main job, by PyTorch
python -m reference_torch.lockstep    both engines side by side, compared tensor by tensor at every step

`model.py` is `gpt/model.py` with other imports and no other difference; a test holds the two to it.
"""

from __future__ import annotations

import sys

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    message = f"reference_torch compares with PyTorch ({error}); install it: pip install torch"
    if sys.argv[0] == "-m":  # python -m reference_torch.…, whose module Python is still looking for
        sys.exit(message)
    raise ImportError(message) from error
