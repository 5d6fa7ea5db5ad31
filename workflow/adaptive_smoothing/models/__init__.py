"""Models: each file makes one network. `class Options(Strict)` and `build(options, channels, size, classes)`."""
