"""What apps want refused: their rules, compiled when a tunnel opens, asked for each request.

Pure decisions on bytes; ``guards`` counts rates and replies, ``admission`` gets the rules.
"""
