from genestill.core.contents import content_checksum
from genestill.teacher.settings import EmbeddingSettings
from genestill.teacher.sharding import embed_shard


def test_embedding_a_shard_twice_gives_identical_files(contigs, causal_folder, tmp_path):
    fasta, index, _ = contigs
    for name in ("one", "two"):
        embed_shard(causal_folder, fasta, index, tmp_path / f"{name}.parquet", EmbeddingSettings(), 1, 2, "cpu")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    other = EmbeddingSettings(pooling="max")
    embed_shard(causal_folder, fasta, index, tmp_path / "other.parquet", other, 1, 2, "cpu")
    assert content_checksum(tmp_path / "other.parquet") != content_checksum(tmp_path / "one.parquet")
