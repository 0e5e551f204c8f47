# SPDX-License-Identifier: MIT
"""What is said of a case: @both, @sanitize and @rows, as `run` explains them."""


def both(function):
    function.both = True
    return function


def sanitize(function):
    function.sanitize = True
    return function


def rows(values):
    """values: name to what the case gets as its second argument; or a list of texts that are both."""
    def mark(function):
        function.rows = values if isinstance(values, dict) else {value: value for value in values}
        return function
    return mark
