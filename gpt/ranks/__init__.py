"""Training on many ranks: what an update exchanges, how a run opens on all of them, and what happens where one fails."""
