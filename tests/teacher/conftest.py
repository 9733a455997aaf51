"""Tiny checkpoints in the architectures of the large models, written here, never downloaded."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch

from genestill.core.bpe import train_bpe
from genestill.core.sequences import write_fasta
from genestill.core.table_schemas import INDEX
from genestill.core.tables import write_table
from genestill.core.tokenization import FastTokenizer, KmerTokenizer
from genestill.teacher.architectures.architecture import find_architecture
from genestill.teacher.settings import PretrainingSettings
from random_sequences import random_dna


def save_random_model(settings, tokenizer, seed, folder):
    """Weights wide enough that different tokens give clearly different numbers."""
    torch.manual_seed(seed)
    model = find_architecture(settings.architecture).build(settings, tokenizer)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="session")
def causal_folder(tmp_path_factory):
    """Mistral over byte pairs, as GenomeOcean; weights large enough that every token matters."""
    folder = tmp_path_factory.mktemp("causal")
    tokenizer = FastTokenizer(train_bpe([random_dna(seed, 200) for seed in range(60)], 300, 64, letters="ACGT"))
    settings = PretrainingSettings(hidden_size=32, layers=3, heads=2, vocabulary=300, context=64)
    return save_random_model(settings, tokenizer, 1, folder)


@pytest.fixture(scope="session")
def masked_folder(tmp_path_factory):
    """The Nucleotide Transformer v2 over 3-mers."""
    folder = tmp_path_factory.mktemp("masked")
    tokenizer = KmerTokenizer.of_size(3, 48)
    settings = PretrainingSettings("nucleotide-transformer", hidden_size=32, layers=2, heads=2, context=48)
    return save_random_model(settings, tokenizer, 2, folder)


@pytest.fixture(scope="session")
def letters_folder(tmp_path_factory):
    """BERT over single nucleotides, tokenizer.json."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("letters")
    words = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", *"ACGTN"]
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]", model_max_length=64
    ).save_pretrained(folder)
    torch.manual_seed(3)
    BertForMaskedLM(
        BertConfig(
            vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            max_position_embeddings=64, pad_token_id=3, initializer_range=0.3,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture
def contigs(tmp_path):
    """(FASTA, index, records): eleven contigs of 20 to 900 bases, some with N, one all N, and one not in the index."""
    lengths = [300, 20, 900, 65, 128, 450, 31, 200, 77, 512, 40]
    records = [(f"contig{number}", random_dna(100 + number, length)) for number, length in enumerate(lengths)]
    records[5] = ("contig5", records[5][1][:200] + "N" * 30 + "RY" + records[5][1][232:])
    records[10] = ("contig10", "N" * 40)
    fasta = tmp_path / "contigs.fna.gz"
    write_fasta(fasta, [*records[:4], ("left-out", random_dna(99, 33)), *records[4:]])
    table = pd.DataFrame(
        {
            "id": [name for name, _ in records],
            "length": [len(sequence) for _, sequence in records],
            "gc": np.float32(0.5),
            "sample": "",
            "checksum": [hashlib.sha256(sequence.encode()).hexdigest()[:16] for _, sequence in records],
        }
    )
    write_table(tmp_path / "index.parquet", table, INDEX)
    return fasta, tmp_path / "index.parquet", records
