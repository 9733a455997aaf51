"""Encoder students: single-nucleotide DNA and RNA encoders as Hugging Face models.

Importing this package registers ``genestill-encoder`` with `AutoConfig`, `AutoModel` and `AutoTokenizer`, so that
``AutoModel.from_pretrained(folder)`` opens a released student.
"""

from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from genestill.student.encoders.configuration import EncoderConfig
from genestill.student.encoders.model import EncoderModel

AutoConfig.register(EncoderConfig.model_type, EncoderConfig, exist_ok=True)
AutoModel.register(EncoderConfig, EncoderModel, exist_ok=True)
AutoTokenizer.register(EncoderConfig, fast_tokenizer_class=PreTrainedTokenizerFast, exist_ok=True)

__all__ = ["EncoderConfig", "EncoderModel"]
