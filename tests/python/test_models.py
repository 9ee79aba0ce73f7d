"""Published models: SmolLM2-135M-Instruct in Q4_1, as it is downloaded."""

import pytest

gguf = pytest.importorskip("gguf")


def test_the_file_is_the_one_that_is_meant(smollm2):
    reader = gguf.GGUFReader(smollm2)
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["llama.block_count"].contents() == 30
    kinds = {t.name: t.tensor_type for t in reader.tensors}
    assert kinds["blk.0.ffn_up.weight"] == gguf.GGMLQuantizationType.Q4_1
    assert "output.weight" not in kinds  # tied
