"""The fast paths: what does the same as the pages above, sooner. Nothing here has to be read to understand those.

shards          the batch shared by threads, and by ranks
threads         a map of several threads, each with one thread for BLAS
decode          one character through the GPT on bare arrays, for generating
gpu             updates on a GPU, and recorded as a CUDA graph
half            updates in float16, with a loss scale
rotary_kernel   rotary positions on a GPU in one launch
"""
