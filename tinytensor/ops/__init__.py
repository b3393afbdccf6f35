"""The kernels: pairs of array functions, forward and backward side by side. No Tensor in sight.

Each module enters its pairs into the table (`tinytensor.primitive.PRIMITIVES`) and, for a fused pair, keeps the
composed form beside it: the same function written out in smaller operations, for readers and as a second oracle.
"""
