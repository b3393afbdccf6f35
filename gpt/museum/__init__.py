"""A museum of bugs: classic mistakes, each one line of this project's own source, and what they do to a training.

python -m gpt.museum                 lists them
python -m gpt.museum NAME            trains with the right line and with the wrong one, and shows what differs
python -m gpt.museum quiz            here is a curve: which bug is it?

>>> from gpt.museum import BUGS
>>> bug = BUGS["not-shifted"]
>>> bug.file, bug.wrong.strip()
('gpt/data.py', 'return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, :-1])')
"""

from gpt.museum.bug import Bug
from gpt.museum.in_engine import IN_ENGINE
from gpt.museum.in_model import IN_MODEL
from gpt.museum.in_training import IN_TRAINING

__all__ = ["BUGS", "Bug"]

BUGS: dict[str, Bug] = {bug.name: bug for bug in (*IN_ENGINE, *IN_MODEL, *IN_TRAINING)}
