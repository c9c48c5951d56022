"""What a race does, in turn: open, screen, stack, compile, simplify, and prove the winner."""
