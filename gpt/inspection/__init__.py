"""Looking into a model and its training: what was recorded, and what a page shows of it.

film   the moments that gpt.train --record kept, read without trust, and made small for a page
"""
