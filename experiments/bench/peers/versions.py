"""The version of Python and of each package named, null for those that are not there, as one JSON line."""
import importlib.metadata, json, platform, sys


def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


print(json.dumps(dict(python=platform.python_version(), packages={name: version(name) for name in sys.argv[1:]})))
