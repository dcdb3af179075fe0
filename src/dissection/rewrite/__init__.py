"""Edits of what a generator knows (thesis, chapter 6 and appendix B): a layer's weight as an associative memory.

    memory = memory_of(network, "layer8")                       # keys -> linear map -> values
    moment = moments(memory, latents(1, 0, 1000, 512))          # C = E[k k^T]
    session = read_session(Path("hat.json"))                    # copy, paste, context
    edit, losses = rewrite(network, session, moment)
    edit.save(Path("hat.safetensors"))

    rewritten = Rewritten(network)
    rewritten.add(edit)                                         # the network draws hats
    rewritten.remove(edit)                                      # to the last byte what it was

layers: generators cut at a layer. directions: which keys to change. insert: to which values. edits: the file, and
models that carry several. sessions: what a person selected. select: what a rule selects instead. job: all of it
together. propagate: every method, compared. effects: what edits do, for all other rows.
"""

SHARED = ("table_6_3", "fig_6_1", "fig_6_2", *(f"fig_b_{n}" for n in range(1, 7)))
# what edits for a row, by module and function; if jobs can share it, what does a part of it comes before
JOBS: dict[str, tuple[str, ...]] = {
    "table_6_1": ("propagate", "run"),
    "table_6_2": ("propagate", "run"),
    "fig_sweep": ("sweep", "run"),
    "fig_6_6": ("reflections", "write"),
    "fig_b_7": ("patches", "isolated", "isolate"),
    "fig_b_10": ("patches", "isolated", "isolate"),
    **{row: ("effects", "run") for row in SHARED},
}
