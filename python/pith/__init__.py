"""pith: run language models that cache a small latent vector per token, on a CPU.

    import pith
    for piece in pith.Model().generate("Once upon a time"):
        print(piece, end="", flush=True)

Model         a model file: generate, chat, eval_perplexity, and what it is made of: info, metadata, tokenizer
Generation    what generate and chat return: an iterator of pieces of text
Session       the layer below: eval, logits, rewind, state, restore
Tokenizer, Sampler
Error         a call of the library failed: .status, .name, and its sentence
"""

from ._abi import Error
from ._generation import Generation, Piece, Token
from ._metadata import Metadata
from ._model import Model, ModelInfo
from ._perplexity import Perplexity
from ._pith import ffi as _ffi
from ._pith import lib as _lib
from ._sampler import Sampler
from ._session import Session
from ._tokenizer import Tokenizer

__version__: str = _ffi.string(_lib.pith_version()).decode()

__all__ = ["Error", "Generation", "Metadata", "Model", "ModelInfo", "Perplexity", "Piece", "Sampler", "Session", "Token", "Tokenizer"]
