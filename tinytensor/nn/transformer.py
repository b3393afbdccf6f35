"""The transformer as layers: encoder, decoder, and both (Vaswani et al. 2017, section 3.1).

With the attention of multihead.py, a LayerNorm nᵢ for each line and f(x) = W₂ activation(W₁ x + b₁) + b₂, a layer is

    encoder    x ← n₁(x + attention(x, x))          decoder    x ← n₁(x + attention(x, x))
               x ← n₂(x + f(x))                                x ← n₂(x + attention(x, memory))
                                                               x ← n₃(x + f(x))

or, if norm_first, x ← x + attention(n₁(x), n₁(x)) and so on. Dropout applies to what is added to x, inside of f, and to
the attention weights. Sequences are (T, B, E), (B, T, E) if batch_first, or (T, E). Masks are those of
F.multi_head_attention_forward: (T, S) or (B·H, T, S), and (B, S) for padding; a bool is True where nobody may look.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

from tinytensor.creation import full
from tinytensor.devices import device as Device
from tinytensor.dtypes import dtype as DType
from tinytensor.nn import functional as F
from tinytensor.nn import init
from tinytensor.nn.containers import ModuleList
from tinytensor.nn.functional.multi_head_attention import added_mask
from tinytensor.nn.layers import LayerNorm, Linear
from tinytensor.nn.module import Module
from tinytensor.nn.multihead import MultiheadAttention
from tinytensor.nn.simple import Dropout
from tinytensor.tensor import Tensor

Activation = str | Callable[[Tensor], Tensor]
Mask = Tensor | None


class _Layer(Module):
    """The base of the two layers: attention, the feed-forward network, a norm and a dropout for each of them."""

    attentions: ClassVar[tuple[str, ...]] = ("self_attn",)
    self_attn: MultiheadAttention

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        for name in self.attentions:
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first))
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        self.norm_first = norm_first
        parts = range(1, len(self.attentions) + 2)
        for i in parts:
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias))
        for i in parts:
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation) if isinstance(activation, str) else activation

    def _added(self, i: int, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Line i of the formulas: nᵢ(x + part(x)), or x + part(nᵢ(x)) if norm_first."""
        norm = self._modules[f"norm{i}"]
        y: Tensor = x + part(norm(x)) if self.norm_first else norm(x + part(x))
        return y

    def _sa_block(self, x: Tensor, attn_mask: Mask, key_padding_mask: Mask, is_causal: bool = False) -> Tensor:
        y = self.self_attn(x, x, x, key_padding_mask, False, attn_mask, is_causal=is_causal)[0]
        return self.dropout1(y)  # type: ignore[no-any-return]

    def _ff_block(self, x: Tensor) -> Tensor:
        y = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return self._modules[f"dropout{len(self.attentions) + 1}"](y)  # type: ignore[no-any-return]


class TransformerEncoderLayer(_Layer):
    """x ← n₁(x + attention(x, x)), x ← n₂(x + f(x)); or with the norms first. Shapes and f: see transformer.py."""

    def forward(
        self, src: Tensor, src_mask: Mask = None, src_key_padding_mask: Mask = None, is_causal: bool = False
    ) -> Tensor:
        """Return the shape of src."""
        x = self._added(1, src, lambda x: self._sa_block(x, src_mask, src_key_padding_mask, is_causal))
        return self._added(2, x, self._ff_block)


class TransformerDecoderLayer(_Layer):
    """As an encoder layer, with x ← n₂(x + attention(x, memory)) between the two. Shapes and f: see transformer.py."""

    attentions: ClassVar[tuple[str, ...]] = ("self_attn", "multihead_attn")
    multihead_attn: MultiheadAttention

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Return the shape of tgt."""
        x = self._added(1, tgt, lambda x: self._sa_block(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal))
        seen = (memory, memory_mask, memory_key_padding_mask, memory_is_causal)
        x = self._added(2, x, lambda x: self._mha_block(x, *seen))
        return self._added(3, x, self._ff_block)

    def _mha_block(
        self, x: Tensor, mem: Tensor, attn_mask: Mask, key_padding_mask: Mask, is_causal: bool = False
    ) -> Tensor:
        y = self.multihead_attn(x, mem, mem, key_padding_mask, False, attn_mask, is_causal=is_causal)[0]
        return self.dropout2(y)  # type: ignore[no-any-return]


class TransformerEncoder(Module):
    """num_layers copies of a layer, one after the other, then norm, if it is given. The copies begin with equal weights.

    enable_nested_tensor and mask_check change nothing: they choose PyTorch's faster form for padded batches, which
    leaves zeros at the padding.
    """

    def __init__(
        self,
        encoder_layer: Any,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers, self.num_layers, self.norm = _copies(encoder_layer, num_layers), num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self, src: Tensor, mask: Mask = None, src_key_padding_mask: Mask = None, is_causal: bool | None = None
    ) -> Tensor:
        """Return the shape of src. is_causal None: look whether mask is the causal one, which is faster."""
        padding = added_mask(src_key_padding_mask, src, "src_key_padding_mask", mask, "mask")
        mask = added_mask(mask, src, "mask")  # once for all layers
        is_causal = _causal(mask, is_causal, src, self.layers[0])
        for layer in self.layers:
            src = layer(src, src_mask=mask, is_causal=is_causal, src_key_padding_mask=padding)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """num_layers copies of a layer, one after the other, then norm, if it is given. The copies begin with equal weights."""

    def __init__(self, decoder_layer: Any, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers, self.num_layers, self.norm = _copies(decoder_layer, num_layers), num_layers, norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Return the shape of tgt. tgt_is_causal None: look whether tgt_mask is the causal one, which is faster."""
        tgt_is_causal = _causal(tgt_mask, tgt_is_causal, tgt, self.layers[0])
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
                memory_is_causal=memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """decoder(tgt, encoder(src)), each with a norm at its end: src (S, B, E), tgt (T, B, E) → (T, B, E), E = d_model.

    custom_encoder and custom_decoder take the place of the two. Weights are drawn as xavier_uniform_ does.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Device | str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}  # which constructors.py adds to the layers
        settings = (dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def stack(kind: Any, layer: Any, count: int) -> Any:
            each = layer(d_model, nhead, *settings, **place)
            return kind(each, count, LayerNorm(d_model, layer_norm_eps, bias=bias, **place))

        encoder, decoder = custom_encoder, custom_decoder
        if encoder is None:
            encoder = stack(TransformerEncoder, TransformerEncoderLayer, num_encoder_layers)
        if decoder is None:
            decoder = stack(TransformerDecoder, TransformerDecoderLayer, num_decoder_layers)
        self.encoder, self.decoder = encoder, decoder
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self._reset_parameters()

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Mask = None,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        src_key_padding_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Return the shape of tgt. RuntimeError for other widths than d_model, or another batch of src and tgt."""
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.size(batch) != tgt.size(batch):
            raise RuntimeError("the batch number of src and tgt must be equal")
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(  # type: ignore[no-any-return]
            tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: Device | str | None = None, dtype: DType | None = None
    ) -> Tensor:
        """The causal mask (sz, sz): 0 on and below the diagonal, −∞ above it."""
        return full((sz, sz), float("-inf"), dtype=dtype, device=device).triu(1)

    def _reset_parameters(self) -> None:
        for p in self.parameters():
            if p.dim() > 1:
                init.xavier_uniform_(p)


def _copies(layer: Any, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    if name not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {name}")
    return F.relu if name == "relu" else F.gelu


def _causal(mask: Mask, is_causal: bool | None, x: Tensor, layer: Any) -> bool:
    """is_causal, or if it is None, whether mask is the causal mask for x."""
    if is_causal is not None or mask is None:
        return bool(is_causal)
    length = x.shape[1 if x.ndim == 3 and layer.self_attn.batch_first else 0]
    if mask.shape != (length, length):
        return False
    causal = Transformer.generate_square_subsequent_mask(length, mask.device, mask.dtype)
    return bool((mask == causal).all())
