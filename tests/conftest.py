"""What every tier of the tests shares."""

from hypothesis import settings

# A loaded machine is no bug: no example fails for being slow.
settings.register_profile("quilt-packager", deadline=None)
settings.load_profile("quilt-packager")
