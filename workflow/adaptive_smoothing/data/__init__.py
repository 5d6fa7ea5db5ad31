"""Room `data`: from bytes to arrays, and from clean labels to wrong ones. It imports `core` alone, and no torch."""
