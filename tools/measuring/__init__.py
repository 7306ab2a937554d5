"""measuring: what tools/demo.py and the tools/measure-* scripts share. Runs from the source tree; not installed.

fields.py   the fields of a folder, their range, and the comparison of a field with what came back
cells.py    one field written and read with one codec, in a process of its own
engine.py   the engine's C API through ctypes
"""
