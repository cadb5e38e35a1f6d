"""`functools.cached_property` without its lock before Python 3.12, for which threads would wait for one another."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property as cached_property
else:

    class cached_property:
        """An attribute that is made when it is first asked for, and kept in the object's own dictionary."""

        def __init__(self, make):
            self.make, self.__doc__ = make, make.__doc__

        def __set_name__(self, owner, name):
            self.name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            made = instance.__dict__[self.name] = self.make(instance)
            return made
