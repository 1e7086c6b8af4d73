"""What things cost, beside what they are compared with: `lico bench`.

Each file here with a function `benchmark(setting: Setting) -> Iterator[Figure]` is one benchmark,
by the file's name; the first line of its docstring says what it measures. A benchmark reports, it
never judges: no time is asserted anywhere.
"""
