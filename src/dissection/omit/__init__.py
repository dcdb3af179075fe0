"""What a generator does not draw (thesis, chapter 5). statistics: shares of object classes, and distances between them.
compare: the job that measures them. inversion, train, reconstruct: images inverted, encoders trained for it, the job.
"""
