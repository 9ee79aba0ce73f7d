#include "hf_vocabulary.h"

#include <stdexcept>

#include <fmt/core.h>

#include "pre_tokenizer_names.h"
#include "sentence_piece.h"

namespace pith::quantize {
namespace {

constexpr uint32_t kMaxTokens = 1 << 22;  // what an array of a model file may hold

[[noreturn]] void refuse(const std::string& why) { throw std::runtime_error(why); }

// Puts the tokens of a vocabulary to their ids, each at most once.
class TokenTable {
 public:
  explicit TokenTable(HfVocabulary* out, uint32_t vocab_size) : out_(*out) {
    if (vocab_size > kMaxTokens) refuse(fmt::format("{} tokens; a model file holds {}", vocab_size, kMaxTokens));
    out_.tokens.resize(vocab_size);
    out_.types.assign(vocab_size, TokenType::unused);
  }

  void add(const std::string& text, uint64_t number, TokenType type) {
    const size_t id = size_t(number);
    if (number >= out_.tokens.size())
      refuse(fmt::format("token {} is not below vocab_size, {}", number, out_.tokens.size()));
    if (out_.types[id] != TokenType::unused) refuse(fmt::format("two tokens have the id {}", id));
    put(text, id, type);
  }

  // Tokens with a text of their own, which take the place of those that a vocabulary has under the id.
  void add_the_added(const json::Document& list) {
    for (const json::Document& token : list.elements()) {
      const uint64_t id = token["id"].natural();
      const json::Document* special = token.find("special");
      const bool is_special = special != nullptr && !special->is_null() && special->boolean();
      if (id >= out_.tokens.size())
        out_.notices.push_back(
            fmt::format("tokenizer.json: token {} is left out: the model has {}", id, out_.tokens.size()));
      else put(token["content"].string(), size_t(id), is_special ? TokenType::control : TokenType::user_defined);
    }
  }

  // Names the ids that no token has: a model's matrices may have more rows than there are tokens.
  void fill_up() {
    for (size_t id = 0; id < out_.tokens.size(); ++id) {
      if (out_.types[id] == TokenType::unused && out_.tokens[id].empty()) out_.tokens[id] = fmt::format("[PAD{}]", id);
    }
  }

 private:
  void put(const std::string& text, size_t id, TokenType type) {
    if (text.empty()) refuse(fmt::format("token {} is empty", id));
    out_.tokens[id] = text;
    out_.types[id] = type;
  }

  HfVocabulary& out_;
};

bool is_set(const json::Document* value) {
  return value != nullptr && !value->is_null() && !(value->is_string() && value->string().empty()) &&
         !(value->is_boolean() && !value->boolean());
}

// "left right", which older files have as such and newer ones as a pair.
std::string merge_of(const json::Document& merge) {
  if (merge.is_string()) return merge.string();
  if (merge.elements().size() != 2) refuse("a merge is not a pair");
  for (const json::Document& part : merge.elements()) {
    if (part.string().empty() || part.string().find(' ') != std::string::npos)
      refuse(fmt::format("a merge of {} cannot be written", json::quoted(part.string())));
  }
  return merge[0].string() + " " + merge[1].string();
}

bool has_byte_alphabet(const json::Document& tokenizer) {
  const json::Document* decoder = tokenizer.find("decoder");
  const json::Document* type = decoder == nullptr ? nullptr : decoder->find("type");
  return type != nullptr && type->is_string() && type->string() == "ByteLevel";
}

void read_byte_level(const json::Document& tokenizer, uint32_t vocab_size, HfVocabulary* out) {
  const json::Document& model = tokenizer["model"];
  const json::Document *type = model.find("type"), *merges = model.find("merges");
  const std::string kind = type != nullptr ? type->string() : merges != nullptr ? "BPE" : "?";
  if (kind != "BPE") refuse(fmt::format("a vocabulary of type {}", json::quoted(kind)));
  if (is_set(model.find("byte_fallback")) || !has_byte_alphabet(tokenizer)) refuse("BPE that is not of bytes");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (is_set(model.find(name))) refuse(fmt::format("a {}", name));
  }
  TokenTable table(out, vocab_size);
  for (const auto& [text, id] : model["vocab"].members()) table.add(text, id.natural(), TokenType::normal);
  if (const json::Document* added = tokenizer.find("added_tokens")) table.add_the_added(*added);
  table.fill_up();
  for (const json::Document& merge : model["merges"].elements()) out->merges.push_back(merge_of(merge));
  out->pre = pre_tokenizer_name(tokenizer);
  out->model = "gpt2";
  if (out->pre == "unknown")
    out->notices.push_back("tokenizer.json: splits text in a way that is not known here: the model runs from ids");
}

void read_pieces(const HfTextFiles& files, uint32_t vocab_size, HfVocabulary* out) {
  const SentencePiece model = read_sentence_piece(files.sentence_piece);
  if (!model.is_bpe) refuse("a SentencePiece model that is not BPE");
  if (!model.writes_blanks) refuse("a SentencePiece model without blanks in its pieces, or with blanks behind them");
  if (model.changes_text)
    out->notices.push_back(
        "tokenizer.model: brings texts into another form first, which is not done here: ids may differ for texts that "
        "are not in it");
  TokenTable table(out, vocab_size);
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const TokenType type = TokenType(model.pieces[id].type);
    table.add(model.pieces[id].text, id, type);
    if (type == TokenType::unknown) out->unknown = uint32_t(id);
    out->scores.push_back(model.pieces[id].score);
  }
  if (const json::Document* added = files.tokenizer.find("added_tokens")) {
    // The pieces' own types stay: a control piece is listed among the added tokens as well.
    for (const json::Document& token : added->elements()) {
      if (token["id"].natural() >= model.pieces.size()) table.add_the_added(json::Document::of_elements({token}));
    }
  }
  table.fill_up();
  out->scores.resize(vocab_size, -1000);
  out->adds_space = model.adds_space;
  out->model = "llama";
}

// The id of a token of that text; none if there is no such token.
std::optional<uint32_t> find_token(const HfVocabulary& vocabulary, const std::string& text) {
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.tokens[id] == text && vocabulary.types[id] != TokenType::unused) return uint32_t(id);
  }
  return {};
}

// A token that tokenizer_config.json names by its text, or by an object that has it.
std::optional<uint32_t> named_token(const HfVocabulary& vocabulary, const json::Document& config, const char* name) {
  const json::Document* token = config.find(name);
  if (token != nullptr && token->is_object()) token = token->find("content");
  if (token == nullptr || !token->is_string()) return {};
  return find_token(vocabulary, token->string());
}

// The ids under a key: one, or a list.
std::vector<uint32_t> ids_of(const json::Document& config, const char* name, size_t vocab_size) {
  const json::Document* value = config.find(name);
  if (value == nullptr) return {};
  std::vector<uint32_t> ids;
  const auto add = [&](const json::Document& id) {
    if (id.is_natural() && id.natural() < vocab_size) ids.push_back(uint32_t(id.natural()));
  };
  if (!value->is_array()) add(*value);
  else
    for (const json::Document& id : value->elements()) add(id);
  return ids;
}

// Whether texts begin with the token that begins texts, by what the tokenizer puts before a text.
std::optional<bool> template_adds(const json::Document& processor, const std::string& bos) {
  const json::Document* type = processor.find("type");
  if (type == nullptr || !type->is_string()) return {};
  if (type->string() == "Sequence") {
    std::optional<bool> adds;
    for (const json::Document& one : processor["processors"].elements()) {
      if (const std::optional<bool> that = template_adds(one, bos)) adds = that;
    }
    return adds;
  }
  if (type->string() != "TemplateProcessing") return {};
  const std::vector<json::Document>& single = processor["single"].elements();
  const json::Document* first = single.empty() ? nullptr : single[0].find("SpecialToken");
  return first != nullptr && (*first)["id"].string() == bos;
}

void read_special_ids(const HfTextFiles& files, HfVocabulary* out) {
  const size_t n = out->tokens.size();
  const auto id = [&](const char* text_key, const char* id_key) -> std::optional<uint32_t> {
    if (const auto named = named_token(*out, files.tokenizer_config, text_key)) return named;
    for (const json::Document* file : {&files.generation_config, &files.config}) {
      if (const auto ids = ids_of(*file, id_key, n); !ids.empty()) return ids[0];
    }
    return {};
  };
  out->bos = id("bos_token", "bos_token_id");
  out->eos = id("eos_token", "eos_token_id");
  out->padding = id("pad_token", "pad_token_id");
  // A chat's turn may end with another token than a text does, and a call of a tool with a third.
  for (const uint32_t end : ids_of(files.generation_config, "eos_token_id", n)) {
    if (!out->eos || end == *out->eos) continue;
    if (!out->end_of_turn) out->end_of_turn = end;
    else if (!out->end_of_message && end != *out->end_of_turn) out->end_of_message = end;
  }
  if (!out->bos) return;
  const json::Document *said = files.tokenizer_config.find("add_bos_token"),
                       *after = files.tokenizer.find("post_processor");
  if (said != nullptr && said->is_boolean()) out->adds_bos = said->boolean();
  else {
    const auto adds = after == nullptr ? std::nullopt : template_adds(*after, out->tokens[*out->bos]);
    out->adds_bos = adds.value_or(out->model == "llama");
  }
}

// chat_template.jinja, or that of tokenizer_config.json: a text, or a list of named ones.
std::string find_chat_template(const HfTextFiles& files) {
  const json::Document* value = files.tokenizer_config.find("chat_template");
  if (!files.chat_template.empty() || value == nullptr) return files.chat_template;
  if (value->is_string()) return value->string();
  if (!value->is_array()) return {};
  for (const json::Document& one : value->elements()) {
    const json::Document *name = one.find("name"), *text = one.find("template");
    if (name != nullptr && text != nullptr && name->is_string() && name->string() == "default") return text->string();
  }
  return {};
}

// Runs `read`; what it throws becomes a notice, and the vocabulary is none.
template <typename Read>
void try_to(const char* file, HfVocabulary* out, const Read& read) {
  try {
    read();
  } catch (const std::runtime_error& error) {
    std::vector<std::string> notices = std::move(out->notices);
    notices.push_back(fmt::format("{}: {}: the model runs from ids alone", file, error.what()));
    *out = HfVocabulary();
    out->notices = std::move(notices);
  }
}

}  // namespace

HfVocabulary read_hf_vocabulary(const HfTextFiles& files, uint32_t vocab_size) {
  HfVocabulary out;
  // Some folders have a tokenizer.model of another program beside a tokenizer.json of bytes, and some a tokenizer.json that
  // says in other words what SentencePiece's tokenizer.model does.
  const bool has_pieces = !files.sentence_piece.empty() && !has_byte_alphabet(files.tokenizer);
  if (has_pieces) try_to("tokenizer.model", &out, [&] { read_pieces(files, vocab_size, &out); });
  else if (!files.tokenizer.is_null())
    try_to("tokenizer.json", &out, [&] { read_byte_level(files.tokenizer, vocab_size, &out); });
  else out.notices.push_back("neither tokenizer.json nor tokenizer.model is there: the model runs from ids alone");
  try_to("tokenizer_config.json", &out, [&] {
    if (!out.model.empty()) read_special_ids(files, &out);
    out.chat_template = find_chat_template(files);
  });
  return out;
}

void HfVocabulary::write(GgufWriter* writer) const {
  const auto add_id = [&](const char* key, const std::optional<uint32_t>& id) {
    if (id) writer->add_u32(key, *id);
  };
  if (!chat_template.empty()) writer->add_string("tokenizer.chat_template", chat_template);
  if (model.empty()) return;
  writer->add_string("tokenizer.ggml.model", model);
  writer->add_string("tokenizer.ggml.pre", model == "llama" ? "default" : pre);
  writer->add_array_of_strings("tokenizer.ggml.tokens", tokens);
  std::vector<int32_t> type_numbers;
  for (const TokenType type : types) type_numbers.push_back(int32_t(type));
  writer->add_array_i32("tokenizer.ggml.token_type", type_numbers);
  if (model == "llama") writer->add_array_f32("tokenizer.ggml.scores", scores);
  else writer->add_array_of_strings("tokenizer.ggml.merges", merges);
  add_id("tokenizer.ggml.bos_token_id", bos);
  add_id("tokenizer.ggml.eos_token_id", eos);
  add_id("tokenizer.ggml.eot_token_id", end_of_turn);
  add_id("tokenizer.ggml.eom_token_id", end_of_message);
  add_id("tokenizer.ggml.unknown_token_id", unknown);
  add_id("tokenizer.ggml.padding_token_id", padding);
  if (adds_bos) writer->add_bool("tokenizer.ggml.add_bos_token", *adds_bos);
  if (adds_space) writer->add_bool("tokenizer.ggml.add_space_prefix", *adds_space);
}

}  // namespace pith::quantize
