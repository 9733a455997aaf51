"""Encoder students: single-nucleotide DNA and RNA encoders as Hugging Face models.

Importing this package registers them with the ``Auto…`` classes of transformers, so that
``AutoModel.from_pretrained(folder)`` opens a released student, and `AutoModelForMaskedLM` and
`AutoModelForSequenceClassification` open it with a head. It also gives DeBERTa a faster attention (`disentangled`).
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from genestill.student.encoders import disentangled
from genestill.student.encoders.configuration import EncoderConfig
from genestill.student.encoders.heads import (
    DebertaClassifierConfig,
    DebertaForSequenceClassification,
    DebertaOfClassifier,
    EncoderForMaskedLM,
    EncoderForSequenceClassification,
    RoFormerClassifierConfig,
    RoFormerForSequenceClassification,
    RoFormerOfClassifier,
)
from genestill.student.encoders.model import EncoderModel

AutoConfig.register(EncoderConfig.model_type, EncoderConfig, exist_ok=True)
AutoModel.register(EncoderConfig, EncoderModel, exist_ok=True)
AutoModelForMaskedLM.register(EncoderConfig, EncoderForMaskedLM, exist_ok=True)
AutoModelForSequenceClassification.register(EncoderConfig, EncoderForSequenceClassification, exist_ok=True)
AutoTokenizer.register(EncoderConfig, fast_tokenizer_class=PreTrainedTokenizerFast, exist_ok=True)
for _config, _body, _classifier in (
    (DebertaClassifierConfig, DebertaOfClassifier, DebertaForSequenceClassification),
    (RoFormerClassifierConfig, RoFormerOfClassifier, RoFormerForSequenceClassification),
):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _body, exist_ok=True)
    AutoModelForSequenceClassification.register(_config, _classifier, exist_ok=True)
    AutoTokenizer.register(_config, fast_tokenizer_class=PreTrainedTokenizerFast, exist_ok=True)
disentangled.install()

__all__ = ["EncoderConfig", "EncoderModel"]
