"""The same service and the same bulk job on many machines, by Ray. Nothing outside this folder
imports it before it is asked for.
"""
