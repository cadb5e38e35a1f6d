"""SIGTERM ends what runs wherever it comes, also where Python cannot pass an exception on."""

import os
import signal
import time
import weakref

import pytest

from gelens.errors import RunError, Terminated
from gelens.interruption import termination_raised

pytestmark = pytest.mark.skipif(os.name != "posix", reason="on Windows os.kill ends the process at once")


class Thing:
    pass


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_it_comes_again_where_an_exception_is_not_passed_on(capfd, number, error):
    """In a weak reference's callback it would be printed, and be gone."""
    thing = Thing()
    kept = weakref.ref(thing, lambda _: (os.kill(os.getpid(), number), time.sleep(0.01)))
    ended = False
    with pytest.raises(error), termination_raised():
        del thing
        ended = True
        for _ in range(500):
            time.sleep(0.01)
    assert ended and kept() is None, "it did not end in the callback"
    assert "Traceback" not in capfd.readouterr().err


def test_an_error_that_was_made_of_it_is_it():
    def made() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except SystemExit:
            raise RunError("cannot read weights") from None

    with pytest.raises(Terminated), termination_raised():
        made()


def test_errors_without_it_stay():
    with pytest.raises(RunError, match="damaged"), termination_raised():
        raise RunError("damaged")
