"""Models: topologies here, their exchangeable parts in the child packages of the same names."""
