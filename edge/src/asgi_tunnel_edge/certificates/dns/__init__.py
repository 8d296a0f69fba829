"""Everything that speaks DNS to get certificates.

Nothing here is imported by an edge whose certificates come from elsewhere: the modules that ask
other servers need dnspython, which takes 0.2 s to load.
"""
