# SPDX-License-Identifier: MIT
"""How a case can end otherwise than well."""


class Failed(Exception):
    """Something was not as the case says."""


class Skipped(Exception):
    """The case cannot run here; the text says why."""
