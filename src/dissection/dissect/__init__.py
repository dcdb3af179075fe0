"""Units against concepts: which unit of a layer detects which labelled concept."""
