"""The bug of the museum that is switched on in this process: its name, for what a training writes and reads.

gpt/museum/hook.py sets it. The hook replaces lines of modules that are imported later, so this file imports nothing.
"""

name = ""  # "": every line is right
