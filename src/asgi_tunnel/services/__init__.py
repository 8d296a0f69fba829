"""Several services behind one tunnel: a table of hostnames and paths, and what answers for each."""
