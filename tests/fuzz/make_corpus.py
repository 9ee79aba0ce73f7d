"""Writes the seeds of tests/fuzz that neither the golden models nor the shell can give: python make_corpus.py FOLDER.

blocks.gguf: a tensor of every block type of GGUF, of random bytes: infinite scales and the lowest codes are among them.
"""
import sys

import gguf
import numpy as np

TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split()
COLUMNS = 256  # a multiple of every type's block


def main(folder: str) -> None:
    writer = gguf.GGUFWriter(f"{folder}/blocks.gguf", "pith")
    random = np.random.default_rng(7)
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        row = random.integers(0, 256, size=(1, COLUMNS // elements * size), dtype=np.uint8)
        writer.add_tensor(name.lower(), row.view(np.float32) if name == "F32" else row, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
