"""torch.profiler: the time of each primitive and module, and the memory that the tape holds.

    >>> import tinytensor as torch
    >>> from tinytensor.profiler import profile
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.GELU())
    >>> with profile(profile_memory=True) as prof:
    ...     model(torch.ones(32, 64)).sum().backward()
    >>> {"linear", "gelu", "sum"} <= {event.key for event in prof.key_averages()}
    True
    >>> print(prof.key_averages().table(sort_by="count"), prof.by_module().table())  # doctest: +SKIP
    >>> [(row.primitive, row.module, row.shape, row.nbytes) for row in prof.memory()][0]
    ('gelu', '1', '(32, 64)', 16384)

While a profile is on, timed functions replace every pair of the table of primitives, Module.__call__ and the backward
of the tape. At other times a profile costs nothing. Times are wall clock times, and those of all threads are added up.
Of a kernel on a GPU, only the launch is timed.
"""

from __future__ import annotations

from tinytensor.profiler.profiler import ProfilerActivity, profile, record_function
from tinytensor.subset import outside

__all__ = ["ProfilerActivity", "profile", "record_function"]

__getattr__ = outside("tinytensor.profiler")
