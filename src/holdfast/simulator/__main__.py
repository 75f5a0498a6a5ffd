"""`python -m holdfast.simulator`: the simulator as a process of its own."""

from holdfast.simulator.server import main

if __name__ == "__main__":
    main()
