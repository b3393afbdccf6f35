"""The files of a tokenizer that an export writes, for AutoTokenizer.from_pretrained. gpt/tokenizers/folders.py reads them."""

from __future__ import annotations

import json
from typing import Any

from gpt.tokenizers import Tokenizer
from gpt.tokenizers.folders import LIBRARY
from gpt.tokenizers.foreign import END

CONFIG = "tokenizer_config.json"


def written(tokenizer: Tokenizer, context: int) -> dict[str, str]:
    """Return the files of the tokenizer, by their names, for AutoTokenizer.from_pretrained."""
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context, "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    if end_of(tokenizer) is not None:
        settings |= {"bos_token": END, "eos_token": END}
    return {
        LIBRARY: json.dumps(tokenizer.to_library(), ensure_ascii=False, indent=2) + "\n",
        CONFIG: json.dumps(settings, indent=2) + "\n",
    }


def end_of(tokenizer: Tokenizer | None) -> int | None:
    """Return the id of the token that ends a document; None if there is none."""
    return getattr(tokenizer, "special", {}).get(END)
