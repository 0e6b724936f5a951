"""What the scripts of this folder share."""
import os

# How each peer is installed, or told to a script.
INSTALL = {
    "scikit-learn": "pip install scikit-learn",
    "faiss-cpu": "pip install faiss-cpu",
    "faiss-gpu": "conda install -c pytorch faiss-gpu",
    "SuperKMeans": "pip install superkmeans",
    "FlashLib": "pip install 'flashlib[cutedsl]'",
    "flash-kmeans": "git clone https://github.com/svg-project/flash-kmeans, commit 3f1ea6b, and give this script its folder",
    "cuVS": "pip install cuvs-cu13 cupy-cuda13x",
}


def skipped(name, reason):
    """One line for a peer that cannot run."""
    install = next(how for tool, how in INSTALL.items() if name.startswith(tool))
    return f"SKIPPED {name}: {reason} (to install it: {install})"


def with_python_path(environment, folder):
    """The environment of a peer whose package lies in a folder of its own (None: in none)."""
    path = os.pathsep.join(filter(None, [folder and os.path.abspath(folder), environment.get("PYTHONPATH")]))
    return dict(environment, PYTHONPATH=path) if path else dict(environment)
