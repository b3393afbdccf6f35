"""MultiheadAttention: attention of several heads, with the projections that it needs."""

from __future__ import annotations

from tinytensor.creation import zeros
from tinytensor.nn import functional as F
from tinytensor.nn import init
from tinytensor.nn.layers import Linear
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear. PyTorch prints the output projection under this name."""


class MultiheadAttention(Module):
    """y = [softmax(qᵢ kᵢᵀ / √D + mask) vᵢ of each head i, side by side] Wᵀ + b (Vaswani et al. 2017, section 3.2.2).

    q, k, v are projections of query (T, B, E), key (S, B, kdim), value (S, B, vdim), cut in num_heads of width
    D = E / num_heads. With batch_first the B comes first; a single sequence has none.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(f"embed_dim and num_heads must be greater than 0, not {embed_dim} and {num_heads}")
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(f"embed_dim {embed_dim} must be divisible by num_heads {num_heads}")

        if self.kdim == self.vdim == embed_dim:  # one weight, so that self-attention is one product of matrices
            shapes = {"in": (3 * embed_dim, embed_dim)}
        else:
            shapes = {"q": (embed_dim, embed_dim), "k": (embed_dim, self.kdim), "v": (embed_dim, self.vdim)}
        for name in ("q", "k", "v", "in"):
            weight = Parameter(zeros(shapes[name])) if name in shapes else None
            self.register_parameter(f"{name}_proj_weight", weight)
        self.register_parameter("in_proj_bias", Parameter(zeros(3 * embed_dim)) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias)
        self.bias_k = Parameter(zeros(1, 1, embed_dim)) if add_bias_kv else None
        self.bias_v = Parameter(zeros(1, 1, embed_dim)) if add_bias_kv else None
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw the projections as xavier_uniform_ does, bias_k and bias_v as xavier_normal_; the biases are 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return y and the weights, or None; masks and errors are those of F.multi_head_attention_forward."""
        turned = self.batch_first and query.ndim == 3
        if turned:  # (B, T, E) -> (T, B, E); one Tensor stays one, so that it is projected once
            own, other = query, key
            query = query.transpose(0, 1)
            key = query if key is own else key.transpose(0, 1)
            value = query if value is own else key if value is other else value.transpose(0, 1)
        y, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias,
            self.bias_k, self.bias_v, self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias,
            self.training, key_padding_mask, need_weights, attn_mask, self.in_proj_weight is None,
            self.q_proj_weight, self.k_proj_weight, self.v_proj_weight,
            average_attn_weights=average_attn_weights, is_causal=is_causal,
        )  # fmt: skip
        return y.transpose(0, 1) if turned else y, weights
