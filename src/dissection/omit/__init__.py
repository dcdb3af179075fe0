"""What a generator does not draw (thesis, chapter 5). statistics: shares of object classes, and distances between them.
compare: the job that measures them.
"""
