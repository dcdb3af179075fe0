"""Units and what depends on them: removed one by one or together, attacked, taken as detectors."""

# what measures a row, by module and function; if jobs can share it, what does a part of it comes before
JOBS: dict[str, tuple[str, ...]] = {
    "pnas_fig_1": ("detector", "detect"),
    "pnas_fig_2": ("importance", "importance"),
    "pnas_fig_3": ("detector", "detect_drawn"),
    "pnas_fig_4": ("objects", "remove_and_insert"),
    "pnas_fig_5": ("attack", "attacked", "attack"),
    "fig_slides_single_image": ("importance", "single_image"),
    "fig_4_4": ("objects", "remove"),
    "fig_4_9": ("objects", "remove_each"),
    "fig_4_10": ("objects", "remove_each"),
    "fig_4_11": ("objects", "insert"),
    "fig_a_6": ("objects", "follow"),
    "fig_4_7": ("variants", "distances"),
    "fig_slides_banner": ("banner", "remove_banner"),
    "fig_slides_photo_edit": ("photograph", "edit"),
}
