"""``python -m topo_search``."""

from topo_search.cli import main

if __name__ == "__main__":
    main()
