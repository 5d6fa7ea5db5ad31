"""Room `core`: what can change no number. It imports no other room, no torch and no numpy; the code digest skips it.

Errors, paths, atomic files, reading and writing of Parquet, options, the registry, progress records, log lines, text.
"""
