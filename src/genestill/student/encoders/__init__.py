"""Encoder students: single-nucleotide DNA and RNA encoders as Hugging Face models.

Importing this package registers them with the ``Auto…`` classes of transformers, so that
``AutoModel.from_pretrained(folder)`` opens a released student, and `AutoModelForMaskedLM` and
`AutoModelForSequenceClassification` open it with a head.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from genestill.student.encoders.configuration import EncoderConfig
from genestill.student.encoders.heads import (
    DebertaClassifierConfig,
    DebertaForSequenceClassification,
    DebertaOfClassifier,
    EncoderForMaskedLM,
    EncoderForSequenceClassification,
)
from genestill.student.encoders.model import EncoderModel

AutoConfig.register(EncoderConfig.model_type, EncoderConfig, exist_ok=True)
AutoModel.register(EncoderConfig, EncoderModel, exist_ok=True)
AutoModelForMaskedLM.register(EncoderConfig, EncoderForMaskedLM, exist_ok=True)
AutoModelForSequenceClassification.register(EncoderConfig, EncoderForSequenceClassification, exist_ok=True)
AutoTokenizer.register(EncoderConfig, fast_tokenizer_class=PreTrainedTokenizerFast, exist_ok=True)
AutoConfig.register(DebertaClassifierConfig.model_type, DebertaClassifierConfig, exist_ok=True)
AutoModel.register(DebertaClassifierConfig, DebertaOfClassifier, exist_ok=True)
AutoModelForSequenceClassification.register(DebertaClassifierConfig, DebertaForSequenceClassification, exist_ok=True)
AutoTokenizer.register(DebertaClassifierConfig, fast_tokenizer_class=PreTrainedTokenizerFast, exist_ok=True)

__all__ = ["EncoderConfig", "EncoderModel"]
