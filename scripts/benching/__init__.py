"""Measuring a board over ssh; `scripts/bench-on-board` is the command."""
