"""Numbers of a running edge, for a Prometheus.

``families`` says what there is, ``reader`` reads it from the parts of the edge, ``exposition``
writes it as Prometheus reads it, ``listener`` serves it on an address of its own. What is counted
stands with its part (``counts``, ``observers/request_counter.py``): this package only reads.

The numbers of one process are plain values (:data:`.families.Values`) that can be sent to another
process and added up (:func:`.families.merge`).
"""
