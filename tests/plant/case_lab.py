# SPDX-License-Identifier: MIT
"""That the plant itself can show what the other cases look for."""
from marks import both
from scene import HEAD, SERVICES, expect


@both
def test_a_node_can_reach_the_internet_and_that_is_seen(world):
    """What no route takes goes direct, and counts as a stray unless the case allows it."""
    with world.plant(check=False, gateways={"egress": "egress"}) as plant:
        plant.start(HEAD + SERVICES, only=["node"])
        node = plant["node"]
        code, body, error = node.curl("http://origin.test/echo")
        expect(code == "200", f"status {code}: {error}")
        expect(world.requests("origin.test")[0][0] == node.address, f"the origin saw {world.requests()}")
        target = (plant.address("origin.test"), 80)
        expect(node.dialled() == [target], f"dialled {node.dialled()}")
        expect({(f.dst, f.dport) for f in node.strays()} == {target}, f"strays: {node.strays()[:5]}")
        plant.allow("node", "origin.test:80")
        world.over(plant)


@both
def test_machines_reach_each_other(world):
    with world.plant(check=False, nodes=("node", "second"), gateways={"egress": "egress"}) as plant:
        for one in plant.machines.values():
            for other in plant.machines.values():
                done = one.pod.space.run(["ping", "-c", "1", "-W", "5", other.address])
                expect(done.returncode == 0, f"{one.short} does not reach {other.short}: {done.stdout}")
