"""What makes several edges one cluster: its certificate authority, and who may join.

Each edge has a certificate that names it, made by the authority. Its key is in the store, encrypted
with the key that all edges share (``tls/store.key``). Edges trust nothing else among each other.
"""
