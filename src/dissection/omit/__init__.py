"""What a generator does not draw (thesis, chapter 5). statistics: shares of object classes, and distances between them.
compare: the job that measures them. inversion, train, reconstruct: images inverted, encoders trained for it, the job.
"""

# what inverts images for a row, by module and function; if jobs can share it, what does a part of it comes before
JOBS: dict[str, tuple[str, ...]] = {
    "fig_5_6": ("reconstruct", "by_methods", "methods"),
    "fig_5_7": ("reconstruct", "in_groups", "groups"),
    "fig_5_8": ("reconstruct", "in_groups", "groups"),
    "fig_5_1": ("reconstruct", "pairs"),
    "fig_5_5": ("reconstruct", "pairs"),
    "fig_slides_photo_edit": ("reconstruct", "adaptations"),
}
