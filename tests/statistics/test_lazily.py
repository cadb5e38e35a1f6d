"""What is made once: kept, and made by threads side by side."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from gelens.statistics.lazily import cached_property


def test_it_is_made_once_and_threads_do_not_wait_for_one_another():
    both, made = Barrier(2, timeout=10), []

    class Two:
        @cached_property
        def value(self) -> int:
            """Waits for another that is being made."""
            both.wait()
            made.append(self)
            return 3

    objects = [Two(), Two()]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda each: each.value, objects)) == [3, 3]
    assert [each.value for each in objects] == [3, 3] and len(made) == 2
