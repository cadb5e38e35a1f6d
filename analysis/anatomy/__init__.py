"""What a network is made of: hooks, stages, blocks, sites, what follows a block, folded copies."""
