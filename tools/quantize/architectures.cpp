#include "architectures.h"

#include <cstring>

namespace pith::quantize {
namespace {

constexpr AttentionKind kMha = AttentionKind::mha, kLatent = AttentionKind::latent;
constexpr FeedForward kSwiglu = FeedForward::swiglu;

// Sources: transformers' modeling_<model_type>.py for the equations (rotation, norms of heads, activation) and its
// configuration_<model_type>.py for the defaults; for GGUF, the rope type that llama.cpp has for the architecture and the
// permutation of its converter. tests/python/test_import.py compares every row with transformers' logits.
constexpr Architecture kArchitectures[] = {
    {"llama", "llama", kMha, true, false, kSwiglu, HeadNorm::none, 10000},
    {"qwen2", "qwen2", kMha, false, false, kSwiglu, HeadNorm::none, 10000},
    {"qwen3", "qwen3", kMha, false, false, kSwiglu, HeadNorm::rms, 10000},
    // Its GGUF has no rope base, scale of embeddings, of residuals or of logits: gguf_config.cpp has them.
    {"minicpm3", "minicpm3", kLatent, false, false, kSwiglu, HeadNorm::none, 10000},
    // An ungated feed-forward, max(x, 0)^2.
    {"plm", "plm", kLatent, true, true, FeedForward::relu2, HeadNorm::none, 100000},
    // One architecture of GGUF for all of DeepSeek's descent.
    {"deepseek2", "youtu", kLatent, true, true, kSwiglu, HeadNorm::none, 10000},
    {"deepseek2", "deepseek_v2", kLatent, true, true, kSwiglu, HeadNorm::none, 10000},
    {"deepseek2", "deepseek_v3", kLatent, true, true, kSwiglu, HeadNorm::none, 10000},
    {"deepseek2", "kimi_k2", kLatent, true, true, kSwiglu, HeadNorm::none, 10000},
    {"deepseek2", "glm4_moe_lite", kLatent, true, true, kSwiglu, HeadNorm::none, 10000},
};

const Architecture* find(const char* Architecture::*member, std::string_view name) {
  for (const Architecture& a : kArchitectures) {
    if (name == a.*member) return &a;
  }
  return nullptr;
}

std::string list_of(const char* Architecture::*member) {
  std::string list;
  const char* last = "";
  for (const Architecture& a : kArchitectures) {
    if (std::strcmp(a.*member, last) != 0) list += (list.empty() ? "" : ", ") + std::string(a.*member);
    last = a.*member;
  }
  return list;
}

}  // namespace

const Architecture* find_gguf_architecture(std::string_view name) { return find(&Architecture::gguf, name); }
const Architecture* find_model_type(std::string_view model_type) { return find(&Architecture::model_type, model_type); }

std::string gguf_architecture_list() { return list_of(&Architecture::gguf); }
std::string model_type_list() { return list_of(&Architecture::model_type); }

}  // namespace pith::quantize
