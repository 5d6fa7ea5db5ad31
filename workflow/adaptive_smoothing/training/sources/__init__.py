"""Where images come from while training: each file is one kind of source, with `open_images(…) -> ImageSource`.

A dataset's file says which one it needs (`IMAGES = "files"`; without it: "memory"), so that a run depends on no other.
"""
