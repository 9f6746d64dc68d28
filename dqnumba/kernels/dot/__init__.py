"""Vector kernels: the same integers as :mod:`dqnumba.kernels.reference`, in registers and cache blocks.

``simd`` makes LLVM's vectors values that a Numba function can hold; ``micro`` compiles kernels of one uniform C
signature that work on a block of rows; ``executor`` and ``launch`` run lists of them, serially or over threads. Whole
programs are planned in ``dqnumba.infer.plan``; ``functions`` has the functions of the reference, one kernel each.
"""
