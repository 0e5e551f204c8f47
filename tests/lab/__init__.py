# SPDX-License-Identifier: MIT
"""A pod and a stand-in for the internet, in network namespaces.

    with Lab() as lab:
        internet = Internet(lab)
        pod = internet.pod("pod")
        pod.space.run(["curl", "http://www.wikipedia.org/"])

Everything that a lab makes (namespaces, files, processes) is gone when its `with` block ends, however it ends; what
a killed lab left is removed by the next one. Nothing touches the machine's own network. Needs root.
"""
from lab.base import Lab, Late, Missing, until
from lab.internet import Internet
from lab.space import Space

__all__ = ["Internet", "Lab", "Late", "Missing", "Space", "until"]
