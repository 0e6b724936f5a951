"""What the tests of the Python package share: the package of the source tree over the library beside the program under test."""
import os
import sys

from common import ROOT

PACKAGE = os.path.join(ROOT, "src", "python")


def environment(t):
    """The variables that make a Python find both."""
    library = os.path.join(os.path.dirname(t.lloyd_path), "liblloyd.so")
    path = os.pathsep.join([PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"LLOYD_LIBRARY": library, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


def load(t):
    """Imports the package in this process, and for those that it starts."""
    os.environ.update(environment(t))
    sys.path.insert(0, PACKAGE)
    import lloyd
    return lloyd
