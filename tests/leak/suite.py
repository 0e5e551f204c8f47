# SPDX-License-Identifier: MIT
"""The list of cases, and how one fails."""
CASES = []


def case(*parameters, soak=False):
    """Marks a function of (suite, *parameters) as a case, once for each parameter."""

    def mark(function):
        name = function.__doc__.strip().splitlines()[0].rstrip(".")
        for parameter in parameters or (None,):
            CASES.append((name if parameter is None else f"{parameter}: {name}", function,
                          () if parameter is None else (parameter,), soak))
        return function

    return mark


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def none_of(leaks, what="left the pod"):
    """No frame may have got out."""
    if leaks:
        raise AssertionError(f"{len(leaks)} {what}: " + "; ".join(text[:400] for text in leaks[:3]))
