"""The two kinds of failure that a person may see, each one clear line."""


class UsageError(ValueError):
    """What was asked for cannot be meant: a wrong name, value or combination (exit code 2)."""


class RunError(RuntimeError):
    """What was asked for is meaningful but did not work: data, files, memory (exit code 1)."""


def unknown(kind: str, value: object, valid, limit: int = 12) -> UsageError:
    """The error for a name that is not among `valid`: names the value and the nearest choices.

    >>> unknown("network", "resnet5", ["resnet50", "shufflenet"])
    UsageError('no network `resnet5`; did you mean `resnet50`? Valid: resnet50, shufflenet')
    """
    import difflib

    valid = [str(choice) for choice in valid]
    near = difflib.get_close_matches(str(value), valid, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else "."
    listed = ", ".join(valid[:limit]) + (f", … ({len(valid)} in all)" if len(valid) > limit else "")
    return UsageError(f"no {kind} `{value}`{hint} Valid: {listed}")
