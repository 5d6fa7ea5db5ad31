"""Room `models`: one network a file, with `class Options(Strict)` and `build(options, channels, size, classes)`.

A file states what its network needs of the images, where planning checks it: CHANNELS, their only number of channels;
SMALLEST, the least height and width; ONE_PIXEL, the height and width up to which batch normalisation sees one pixel.

It imports `core`, and of `data` the types and the downloads.
"""
