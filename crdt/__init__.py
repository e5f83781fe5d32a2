"""What the log means: pure functions from events to the board. No I/O, no clock, no randomness."""
