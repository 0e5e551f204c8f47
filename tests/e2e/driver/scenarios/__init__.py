# SPDX-License-Identifier: MIT
"""What data cannot say: each function plays a case, or a step of one, with a Run as its argument."""
