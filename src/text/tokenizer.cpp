#include "text/tokenizer.h"

#include "ground/status.h"
#include "text/byte_alphabet.h"
#include "text/byte_merges.h"
#include "text/characters.h"
#include "text/score_merges.h"

namespace pith::internal {
namespace {

pith_status find_kind(const ModelFile& file, TokenArrays* a, pith_error* error) {
  std::string_view kind;
  PITH_TRY(file.get_string("tokenizer.ggml.model", &kind, nullptr, error));
  if (kind != "gpt2" && kind != "llama")
    return fail(error, PITH_E_UNSUPPORTED, "key tokenizer.ggml.model: \"", kind,
                "\"; this version reads \"gpt2\" (byte-level BPE) and \"llama\" (SentencePiece's BPE)");
  a->alphabet = kind == "gpt2" ? TokenAlphabet::gpt2 : TokenAlphabet::sentence_piece;
  if (a->alphabet == TokenAlphabet::sentence_piece) return PITH_OK;  // which has no pattern
  PITH_TRY(file.get_string("tokenizer.ggml.pre", &a->pattern, nullptr, error));
  if (find_pre_tokenizer(a->pattern) == nullptr)
    return fail(error, PITH_E_UNSUPPORTED, "key tokenizer.ggml.pre: \"", a->pattern,
                "\" is not known to this version; the model runs from token ids");
  return PITH_OK;
}

// Finds what a tokenizer reads, and how many merges there may be.
pith_status find_arrays(const ModelFile& file, TokenArrays* a, size_t* out_merges, pith_error* error) {
  constexpr const char *kTypesKey = "tokenizer.ggml.token_type", *kTokensKey = Vocabulary::kTokensKey;
  PITH_TRY(find_kind(file, a, error));
  PITH_TRY(file.get_array(kTokensKey, GgufType::string, &a->tokens, error));
  PITH_TRY(file.get_array(kTypesKey, GgufType::i32, &a->types, error));
  if (a->tokens == nullptr || a->tokens->count == 0)
    return fail(error, PITH_E_VOCABULARY, "key ", kTokensKey, ": missing or empty");
  if (a->types != nullptr && a->types->count != a->tokens->count)
    return fail(error, PITH_E_VOCABULARY, "key ", kTypesKey, ": ", a->types->count, " types for ", a->tokens->count,
                " tokens");
  PITH_TRY(Vocabulary::check_sizes(*a, error));
  if (a->alphabet == TokenAlphabet::gpt2) {
    PITH_TRY(file.get_array(Vocabulary::kMergesKey, GgufType::string, &a->merges, error));
    *out_merges = a->merges == nullptr ? 0 : size_t(a->merges->count);
    return PITH_OK;
  }
  PITH_TRY(file.get_array("tokenizer.ggml.scores", GgufType::f32, &a->scores, error));
  return count_score_merges(*a, out_merges, error);
}

}  // namespace

void TextTokenizer::lay_out(Arena* arena, const TokenArrays& arrays, size_t n_merges) {
  arena->take<TextTokenizer>(1);
  vocabulary_.lay_out(arena, arrays);
  merges_.lay_out(arena, n_merges);
}

pith_status TextTokenizer::bytes(const ModelFile& file, size_t* out_bytes, pith_error* error) {
  TokenArrays arrays;
  size_t n_merges = 0;
  PITH_TRY(find_arrays(file, &arrays, &n_merges, error));
  Arena measure;
  TextTokenizer().lay_out(&measure, arrays, n_merges);
  *out_bytes = measure.used();
  return PITH_OK;
}

pith_status TextTokenizer::init(const ModelFile& file, void* memory, pith_error* error) {
  TokenArrays arrays;
  size_t n_merges = 0;
  PITH_TRY(find_arrays(file, &arrays, &n_merges, error));
  *this = TextTokenizer();
  Arena arena(memory);
  lay_out(&arena, arrays, n_merges);
  PITH_TRY(vocabulary_.read(file, arrays, error));
  merges_.clear();
  if (arrays.alphabet == TokenAlphabet::sentence_piece) return find_score_merges(vocabulary_, arrays, &merges_, error);
  pattern_ = find_pre_tokenizer(arrays.pattern);
  return arrays.merges == nullptr ? PITH_OK : read_byte_merges(vocabulary_, *arrays.merges, &merges_, error);
}

int32_t TextTokenizer::token_id(std::string_view text) const {
  int32_t id = vocabulary_.added().find(text);
  if (id < 0) id = vocabulary_.find(text);
  return id < 0 && text.size() == 1 ? vocabulary_.byte_id(uint8_t(text[0])) : id;
}

// How a text of n bytes is read, and room for that, and for the blank that SentencePiece puts in front.
struct TextTokenizer::Work {
  const Reading& reading;
  int32_t* starts;  // of added tokens: AddedTokens::find_all; [n + 1]
  Symbol* symbols;  // [n + 1]
  Candidate* heap;  // [2 (n + 1)]
  char* text;       // SentencePiece: with blanks for U+2581; [n + 1]

  static constexpr size_t kPerByte = sizeof(int32_t) + sizeof(Symbol) + 2 * sizeof(Candidate) + 1;

  Work(const Reading& how, void* memory, size_t n_bytes) : reading(how) {
    static_assert(alignof(Symbol) == 4 && alignof(Candidate) == 4);
    const size_t n = n_bytes + 1, shift = (4 - reinterpret_cast<uintptr_t>(memory) % 4) % 4;
    starts = reinterpret_cast<int32_t*>(static_cast<char*>(memory) + shift);
    symbols = reinterpret_cast<Symbol*>(starts + n);
    heap = reinterpret_cast<Candidate*>(symbols + n);
    text = reinterpret_cast<char*>(heap + 2 * n);
  }
};

size_t TextTokenizer::work_bytes(size_t n_bytes) {
  constexpr size_t kShift = 3;
  return n_bytes >= (SIZE_MAX - kShift) / Work::kPerByte ? SIZE_MAX : (n_bytes + 1) * Work::kPerByte + kShift;
}

// The ids of a text, as far as there is room, and how many there are.
class TextTokenizer::Ids {
 public:
  Ids(int32_t* tokens, size_t capacity) : tokens_(tokens), capacity_(capacity) {}
  void put(int32_t id) {
    if (count_ < capacity_) tokens_[count_] = id;
    ++count_;
  }
  void put_or_miss(int32_t id, const char* byte) {  // -1: the byte of the text has no token
    if (id >= 0) put(id);
    else if (missing_ == nullptr) missing_ = byte;
  }
  size_t count() const { return count_; }
  const char* missing() const { return missing_; }  // the first byte of the text without a token, or NULL

 private:
  int32_t* tokens_;
  size_t capacity_, count_ = 0;
  const char* missing_ = nullptr;
};

size_t TextTokenizer::encode(std::string_view text, int32_t* tokens, size_t capacity, void* memory,
                             const Reading& reading, size_t* out_missing) const {
  Ids out(tokens, capacity);
  if (!text.empty()) {
    const Work work(reading, memory, text.size());
    if (pattern_ != nullptr) encode_bytes(text, work, &out);
    else encode_blanked(text, work, &out);
  }
  if (out_missing != nullptr) *out_missing = out.missing() == nullptr ? SIZE_MAX : size_t(out.missing() - text.data());
  return out.count();
}

// Where added tokens begin in a text: AddedTokens::find_all, without those that it never makes.
void TextTokenizer::find_added(std::string_view text, AddedTokens::Which which, const Reading& reading,
                               int32_t* starts) const {
  vocabulary_.added().find_all(text, which, starts);
  for (size_t i = 0; i < text.size() && reading.n_never > 0; ++i) {
    if (starts[i] >= 0 && !reading.makes(starts[i])) starts[i] = -1;
  }
}

// Parts a text at its added tokens: `encode` (of a first byte and an end) for what is between them, an id for each of
// them. `encode` may overwrite starts[first .. end].
template <typename Encode>
void TextTokenizer::part(std::string_view text, const int32_t* starts, Ids* out, const Encode& encode) const {
  size_t first = 0;
  for (size_t at = 0; at < text.size();) {
    const int32_t token = starts[at];
    if (token < 0) {
      ++at;
      continue;
    }
    encode(first, at);
    out->put(token);
    first = at += vocabulary_.bytes(token).size();
  }
  encode(first, text.size());
}

// ---- Byte-level BPE

void TextTokenizer::encode_bytes(std::string_view text, const Work& work, Ids* out) const {
  const bool finds_all = work.reading.specials == Specials::are_found;
  const auto which = finds_all ? AddedTokens::Which::all : AddedTokens::Which::user_defined;
  if (!vocabulary_.added().has(which)) return merge_pieces(text, work, out);
  find_added(text, which, work.reading, work.starts);
  part(text, work.starts, out,
       [&](size_t first, size_t end) { merge_pieces(from(text, first, end - first), work, out); });
}

void TextTokenizer::merge_pieces(std::string_view text, const Work& work, Ids* out) const {
  Pieces pieces(*pattern_, text);
  for (std::string_view piece; pieces.next(&piece);) merge_piece(piece, work, out);
}

void TextTokenizer::merge_piece(std::string_view piece, const Work& work, Ids* out) const {
  if (pattern_->whole_pieces) {
    const int32_t whole = vocabulary_.find(piece);
    if (whole >= 0) return out->put(whole);
  }
  list_bytes(vocabulary_, piece, work.symbols);
  merges_.merge_all(work.symbols, work.heap);
  for (uint32_t i = 0; i != kNoSymbol; i = work.symbols[i].next) {
    if (work.symbols[i].id >= 0) out->put(work.symbols[i].id);
    else out->put_or_miss(vocabulary_.unknown(), piece.data() + i);
  }
}

// ---- SentencePiece

// Special tokens part a text into chunks that are encoded as if each were a text.
void TextTokenizer::encode_blanked(std::string_view text, const Work& work, Ids* out) const {
  constexpr auto kSpecial = AddedTokens::Which::special;
  if (work.reading.specials == Specials::are_text || !vocabulary_.added().has(kSpecial))
    return encode_chunk(text, work, work.starts, out);
  find_added(text, kSpecial, work.reading, work.starts);
  part(text, work.starts, out,
       [&](size_t first, size_t end) { encode_chunk(from(text, first, end - first), work, work.starts + first, out); });
}

// With a blank in front and blanks for U+2581, user-defined tokens are found, and what is between them is merged.
// `starts`: [chunk.size() + 1].
void TextTokenizer::encode_chunk(std::string_view chunk, const Work& work, int32_t* starts, Ids* out) const {
  if (chunk.empty()) return;
  size_t n = 0;
  if (has_blank_in_front(work.reading)) work.text[n++] = ' ';
  n += with_blanks(chunk, work.text + n);
  const std::string_view text(work.text, n);
  constexpr auto kUserDefined = AddedTokens::Which::user_defined;
  if (!vocabulary_.added().has(kUserDefined)) return merge_characters(text, chunk, work, out);
  find_added(text, kUserDefined, work.reading, starts);
  part(text, starts, out,
       [&](size_t first, size_t end) { merge_characters(from(text, first, end - first), chunk, work, out); });
}

void TextTokenizer::merge_characters(std::string_view text, std::string_view chunk, const Work& work, Ids* out) const {
  if (text.empty()) return;
  list_characters(vocabulary_, text, work.symbols);
  merges_.merge_all(work.symbols, work.heap);
  bool is_run = false;  // the symbol before was the unknown token
  for (uint32_t i = 0, next = 0; i != kNoSymbol; i = next) {
    const int32_t id = work.symbols[i].id;
    const bool is_token = id < n_tokens();
    next = work.symbols[i].next;
    if (is_token && work.reading.makes(id)) out->put(id);
    else if (is_token) put_characters(text, i, next == kNoSymbol ? text.size() : next, chunk, work, out);
    else if (has_bytes()) put_bytes(text, i, chunk, work, out);
    else if (!is_run) out->put(vocabulary_.unknown());
    is_run = !is_token;
  }
}

// What merged to a token that this text does not make, each character by itself.
void TextTokenizer::put_characters(std::string_view text, size_t first, size_t end, std::string_view chunk,
                                   const Work& work, Ids* out) const {
  for (size_t n = 0; first < end; first += n) {
    n = character_at(text, first).bytes;
    const int32_t id = vocabulary_.find(from(text, first, n));
    if (id >= 0 && work.reading.makes(id)) out->put(id);
    else if (has_bytes()) put_bytes(text, first, chunk, work, out);
    else out->put(vocabulary_.unknown());
  }
}

// The character at text[at], of which a blank is U+2581.
void TextTokenizer::put_bytes(std::string_view text, size_t at, std::string_view chunk, const Work& work,
                              Ids* out) const {
  const std::string_view bytes = text[at] == ' ' ? "\xe2\x96\x81" : from(text, at, character_at(text, at).bytes);
  for (const char byte : bytes) {
    const int32_t id = vocabulary_.byte_id(uint8_t(byte));
    if (id >= 0 || vocabulary_.unknown() >= 0 || out->missing() != nullptr) {
      out->put_or_miss(id >= 0 ? id : vocabulary_.unknown(), nullptr);
      continue;
    }
    // The first that is missing: where is it in the chunk, before blanks took the place of U+2581?
    size_t left = size_t(text.data() + at - work.text), place = 0;
    if (has_blank_in_front(work.reading) && left > 0) --left;
    for (; left > 0; --left) place += from(chunk, place).starts_with("\xe2\x96\x81") ? 3u : 1u;
    out->put_or_miss(-1, chunk.data() + place);
  }
}

}  // namespace pith::internal
