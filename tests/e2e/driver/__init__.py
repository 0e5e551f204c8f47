# SPDX-License-Identifier: MIT
"""Reads the cases and plays them."""
