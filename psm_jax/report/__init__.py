"""The report of one run as a single HTML page.

path = page.write(workdir)
"""
