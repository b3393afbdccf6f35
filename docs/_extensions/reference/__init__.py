"""The API reference: an entry for each public name, from its docstring, in groups by the files that define them.

`tests/pytorch/public_names.txt` lists the public names, and a test holds it complete. A page of docs/api names files:

    .. public:: tinytensor/functions/powers.py tinytensor/functions/unary.py

and has an entry for each public object that is defined there. Names of one object (`abs` and `absolute`), and the form
that writes in place (`abs_`), share an entry. A build fails if a public name is on no page.

    public.py     what is public: the entries, and where each object is defined
    text.py       how an entry is written, in reStructuredText
    links.py      what a name or a path in a docstring links to
    written.py    from reStructuredText to nodes, with links to the source
    objects.py    the directives for functions, classes and modules
    tensor.py     the directives for Tensor and its methods
    programs.py   the directive for programs: what --help prints
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from reference.links import OwnTypes, RepositoryRole
from reference.objects import Classes, Modules, Public
from reference.programs import Programs
from reference.public import known
from reference.tensor import TensorClass, TensorMethods

LOGGER = logging.getLogger(__name__)


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """A warning, which fails the build, for each public name that is on no page."""
    there = env.domains.python_domain.objects
    missing = sorted(name for name in known() if name not in there and name not in env.domains.python_domain.modules)
    if missing:
        LOGGER.warning("public names on no page of docs/api: %s", ", ".join(missing))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(OwnTypes)
    app.add_directive("public", Public)
    app.add_directive("tensor-class", TensorClass)
    app.add_directive("tensor-methods", TensorMethods)
    app.add_directive("public-modules", Modules)
    app.add_directive("classes-of", Classes)
    app.add_directive("programs", Programs)
    app.add_role("repository", RepositoryRole())
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
