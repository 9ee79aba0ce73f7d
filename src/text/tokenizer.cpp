#include "text/tokenizer.h"

#include <algorithm>

#include "model/model.h"
#include "ground/status.h"

namespace pith::internal {
namespace {

constexpr const char* kTokensKey = "tokenizer.ggml.tokens";
constexpr const char* kTypesKey = "tokenizer.ggml.token_type";
constexpr const char* kMergesKey = "tokenizer.ggml.merges";
constexpr int32_t kControl = 3;  // token_type of special tokens

uint32_t table_size(uint64_t n) {  // a power of two, at most half full; n <= 4 Mi
  uint32_t size = 16;
  while (size < 2 * n) size *= 2;
  return size;
}

uint64_t mix(uint64_t x) {  // the finaliser of SplitMix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

uint64_t hash_of(std::string_view bytes) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (const char c : bytes) h = (h ^ uint8_t(c)) * 0x100000001b3ull;
  return mix(h);
}

uint64_t hash_of(int32_t left, int32_t right) { return mix(uint64_t(uint32_t(left)) << 32 | uint32_t(right)); }

// GPT-2 writes a byte as the character of the same code where that is printable, and otherwise as U+0100 and up.
bool is_printable(int32_t byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174; }

// The byte that the character at `at` stands for, or -1; moves `at` on.
int32_t next_byte(std::string_view text, size_t* at) {
  const uint8_t lead = uint8_t(text[(*at)++]);
  int32_t code = lead;
  if (lead >= 0x80) {
    const bool is_pair = lead >= 0xc2 && lead <= 0xc5 && *at < text.size() && (uint8_t(text[*at]) & 0xc0) == 0x80;
    if (!is_pair) return -1;
    code = (lead & 31) << 6 | (uint8_t(text[(*at)++]) & 63);
  }
  if (code < 256) return is_printable(code) ? code : -1;
  int32_t rest = code - 256;
  for (int32_t byte = 0; byte < 256; ++byte) {
    if (!is_printable(byte) && rest-- == 0) return byte;
  }
  return -1;
}

// Writes the bytes that `stored` stands for to out [capacity] and returns how many; -1: another alphabet, or no room.
int64_t stored_bytes(std::string_view stored, char* out, size_t capacity) {
  size_t n = 0;
  for (size_t at = 0; at < stored.size();) {
    const int32_t byte = next_byte(stored, &at);
    if (byte < 0 || n == capacity) return -1;
    out[n++] = char(byte);
  }
  return int64_t(n);
}

size_t longest_string(const MetaEntry& array) {
  size_t longest = 0;
  for (StringArray strings(array); strings.left() > 0;) longest = std::max(longest, strings.next().size());
  return longest;
}

// token_type of a token; 1, an ordinary one, where the file has none.
int32_t type_of(const MetaEntry* types, int32_t id) {
  return types == nullptr ? 1 : read_le<int32_t>(types->value + 4 * size_t(id));
}

size_t count_specials(const MetaEntry& tokens, const MetaEntry* types) {
  size_t n = 0;
  for (int32_t id = 0; id < int32_t(tokens.count); ++id) n += type_of(types, id) == kControl;
  return n;
}

struct Arrays {
  const MetaEntry *tokens = nullptr, *types = nullptr, *merges = nullptr;
  bool splits_digits = false;
};

pith_status find_arrays(const ModelFile& file, Arrays* a, pith_error* error) {
  std::string_view kind, pre = "gpt-2";
  PITH_TRY(file.get_string("tokenizer.ggml.model", &kind, nullptr, error));
  if (kind != "gpt2")
    return fail(error, PITH_E_UNSUPPORTED, "key tokenizer.ggml.model: \"", kind,
                "\"; this version reads \"gpt2\" (byte-level BPE)");
  PITH_TRY(file.get_string("tokenizer.ggml.pre", &pre, nullptr, error));
  a->splits_digits = pre == "smollm";
  if (pre != "gpt-2" && pre != "smollm")
    return fail(error, PITH_E_UNSUPPORTED, "key tokenizer.ggml.pre: \"", pre,
                "\"; this version reads \"gpt-2\" and \"smollm\"");
  PITH_TRY(file.get_array(kTokensKey, GgufType::string, &a->tokens, error));
  PITH_TRY(file.get_array(kTypesKey, GgufType::i32, &a->types, error));
  PITH_TRY(file.get_array(kMergesKey, GgufType::string, &a->merges, error));
  if (a->tokens == nullptr || a->tokens->count == 0)
    return fail(error, PITH_E_VOCABULARY, "key ", kTokensKey, ": missing or empty");
  if (a->tokens->value_bytes >= BpeTokenizer::kMaxText)
    return fail(error, PITH_E_LIMIT, "key ", kTokensKey, ": more than 1 GiB");
  if (a->types != nullptr && a->types->count != a->tokens->count)
    return fail(error, PITH_E_VOCABULARY, "key ", kTypesKey, ": ", a->types->count, " types for ", a->tokens->count,
                " tokens");
  return PITH_OK;
}

}  // namespace

// Where the parts lie; a token's bytes are never more than its stored text.
struct BpeTokenizer::Layout {
  BpeTokenizer* tokenizer;
  char* text;
  uint32_t* offsets;
  int32_t* id_slots;
  Merge* merges;
  Special* specials;
  size_t longest;
  uint32_t n_id_slots, n_merge_slots;

  Layout(Arena* arena, const Arrays& a) {
    n_id_slots = table_size(a.tokens->count);
    n_merge_slots = table_size(a.merges == nullptr ? 0 : a.merges->count);
    longest = longest_string(*a.tokens);
    tokenizer = arena->take<BpeTokenizer>(1);
    text = arena->take<char>(a.tokens->value_bytes + longest);
    offsets = arena->take<uint32_t>(size_t(a.tokens->count) + 1);
    id_slots = arena->take<int32_t>(n_id_slots);
    merges = arena->take<Merge>(n_merge_slots);
    specials = arena->take<Special>(count_specials(*a.tokens, a.types));
  }
};

pith_status BpeTokenizer::bytes(const ModelFile& file, size_t* out_bytes, pith_error* error) {
  Arrays arrays;
  PITH_TRY(find_arrays(file, &arrays, error));
  Arena measure;
  Layout(&measure, arrays);
  *out_bytes = measure.used();
  return PITH_OK;
}

pith_status BpeTokenizer::init(const ModelFile& file, void* memory, pith_error* error) {
  Arrays arrays;
  PITH_TRY(find_arrays(file, &arrays, error));
  Arena arena(memory);
  const Layout layout(&arena, arrays);
  *this = BpeTokenizer();
  n_tokens_ = int32_t(arrays.tokens->count);
  text_ = layout.text;
  longest_ = layout.longest;
  offsets_ = layout.offsets;
  id_slots_ = layout.id_slots;
  id_mask_ = layout.n_id_slots - 1;
  merges_ = layout.merges;
  merge_mask_ = layout.n_merge_slots - 1;
  specials_ = layout.specials;
  std::fill(id_slots_, id_slots_ + layout.n_id_slots, -1);
  std::fill(merges_, merges_ + layout.n_merge_slots, Merge{-1, -1, 0, 0});
  splits_digits_ = arrays.splits_digits;
  PITH_TRY(read_tokens(*arrays.tokens, arrays.types, error));
  if (arrays.merges != nullptr) PITH_TRY(read_merges(*arrays.merges, error));
  sort_specials();
  PITH_TRY(read_specials(file, error));
  read_bytes();
  return PITH_OK;
}

pith_status BpeTokenizer::read_tokens(const MetaEntry& tokens, const MetaEntry* types, pith_error* error) {
  StringArray stored(tokens);
  offsets_[0] = 0;
  for (int32_t id = 0; id < n_tokens_; ++id) {
    const std::string_view text = stored.next();
    if (text.empty()) return fail(error, PITH_E_VOCABULARY, "key ", kTokensKey, ": token ", id, " is empty");
    if (type_of(types, id) == kControl) read_control(id, text);
    else PITH_TRY(read_token(id, text, error));
  }
  return PITH_OK;
}

// Special tokens have no bytes, and are found by their text among themselves alone.
void BpeTokenizer::read_control(int32_t id, std::string_view stored) {
  offsets_[id + 1] = offsets_[id];
  specials_[n_specials_++] = {stored.data(), uint32_t(stored.size()), id};
}

// Of equal tokens the first wins.
pith_status BpeTokenizer::read_token(int32_t id, std::string_view stored, pith_error* error) {
  const int64_t n = stored_bytes(stored, text_ + offsets_[id], stored.size());
  if (n < 0)
    return fail(error, PITH_E_VOCABULARY, "key ", kTokensKey, ": token ", id, " is not in the byte alphabet of GPT-2");
  offsets_[id + 1] = offsets_[id] + uint32_t(n);
  uint32_t slot = uint32_t(hash_of(decode(id))) & id_mask_;
  while (id_slots_[slot] >= 0 && decode(id_slots_[slot]) != decode(id)) slot = (slot + 1) & id_mask_;
  if (id_slots_[slot] < 0) id_slots_[slot] = id;
  return PITH_OK;
}

void BpeTokenizer::read_bytes() {
  for (int32_t byte = 0; byte < 256; ++byte) {
    const char c = char(byte);
    const int32_t id = find_token({&c, 1});
    byte_ids_[byte] = id >= 0 ? id : unknown_;
  }
}

pith_status BpeTokenizer::read_merges(const MetaEntry& merges, pith_error* error) {
  StringArray lines(merges);
  for (int32_t rank = 0; lines.left() > 0; ++rank) PITH_TRY(read_merge(rank, lines.next(), error));
  return PITH_OK;
}

// "left right". The merged token is found by its bytes, put together after those of all tokens; of equal merges the
// first wins.
pith_status BpeTokenizer::read_merge(int32_t rank, std::string_view line, pith_error* error) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos)
    return fail(error, PITH_E_VOCABULARY, "key ", kMergesKey, ": merge ", rank,
                " is not two tokens with a space between");
  char* text = text_ + offsets_[n_tokens_];  // [longest_]: what does not fit is no token
  const int64_t n_left = stored_bytes({line.data(), space}, text, longest_);
  const int64_t n_right = n_left < 0 ? -1
                                     : stored_bytes({line.data() + space + 1, line.size() - space - 1}, text + n_left,
                                                    longest_ - size_t(n_left));
  const int32_t left = n_right < 0 ? -1 : find_token({text, size_t(n_left)});
  const int32_t right = n_right < 0 ? -1 : find_token({text + n_left, size_t(n_right)});
  const int32_t merged = n_right < 0 ? -1 : find_token({text, size_t(n_left + n_right)});
  if (left < 0 || right < 0 || merged < 0)
    return fail(error, PITH_E_VOCABULARY, "key ", kMergesKey, ": merge ", rank, " (\"", line,
                "\") names a token that the vocabulary lacks");
  uint32_t slot = uint32_t(hash_of(left, right)) & merge_mask_;
  while (merges_[slot].left >= 0 && (merges_[slot].left != left || merges_[slot].right != right))
    slot = (slot + 1) & merge_mask_;
  if (merges_[slot].left < 0) merges_[slot] = {left, right, rank, merged};
  return PITH_OK;
}

pith_status BpeTokenizer::read_specials(const ModelFile& file, pith_error* error) {
  PITH_TRY(read_special(file, "tokenizer.ggml.bos_token_id", &bos_, error));
  PITH_TRY(read_special(file, "tokenizer.ggml.eos_token_id", &eos_, error));
  PITH_TRY(read_special(file, "tokenizer.ggml.unknown_token_id", &unknown_, error));
  PITH_TRY(file.get_bool("tokenizer.ggml.add_bos_token", &adds_bos_, nullptr, error));
  if (adds_bos_ && bos_ < 0)
    return fail(error, PITH_E_VOCABULARY,
                "key tokenizer.ggml.add_bos_token: true, but tokenizer.ggml.bos_token_id is missing");
  return PITH_OK;
}

pith_status BpeTokenizer::read_special(const ModelFile& file, const char* key, int32_t* id, pith_error* error) const {
  uint64_t value = 0;
  bool found = false;
  PITH_TRY(file.get_uint(key, &value, &found, error));
  if (!found) return PITH_OK;
  if (value >= uint64_t(n_tokens_))
    return fail(error, PITH_E_VOCABULARY, "key ", key, ": ", value, " is not below ", n_tokens_);
  *id = int32_t(value);
  return PITH_OK;
}

int32_t BpeTokenizer::find_token(std::string_view bytes) const {
  uint32_t slot = uint32_t(hash_of(bytes)) & id_mask_;
  while (id_slots_[slot] >= 0 && decode(id_slots_[slot]) != bytes) slot = (slot + 1) & id_mask_;
  return id_slots_[slot];
}

void BpeTokenizer::sort_specials() {
  std::sort(specials_, specials_ + n_specials_, [](const Special& a, const Special& b) {
    return a.name() != b.name() ? a.name() < b.name() : a.id < b.id;
  });
  for (size_t i = 0; i < n_specials_; ++i) begins_special_[uint8_t(specials_[i].text[0])] = true;
}

// Narrows the sorted names to those that have one more byte of the text, until none is left. The first of them is the
// shortest.
const BpeTokenizer::Special* BpeTokenizer::special_at(std::string_view text) const {
  const Special *first = specials_, *last = specials_ + n_specials_, *longest = nullptr;
  for (size_t n = 0; first < last; ++n) {
    if (first->n == n) longest = first;
    if (n == text.size()) break;
    const auto byte_at = [n](const Special& s) { return s.n == n ? -1 : int32_t(uint8_t(s.text[n])); };
    const int32_t wanted = uint8_t(text[n]);
    first = std::partition_point(first, last, [&](const Special& s) { return byte_at(s) < wanted; });
    last = std::partition_point(first, last, [&](const Special& s) { return byte_at(s) == wanted; });
  }
  return longest;
}

int32_t BpeTokenizer::token_id(std::string_view text) const {
  const Special* special = special_at(text);
  return special != nullptr && special->n == text.size() ? special->id : find_token(text);
}

const BpeTokenizer::Merge* BpeTokenizer::find_merge(int32_t left, int32_t right) const {
  uint32_t slot = uint32_t(hash_of(left, right)) & merge_mask_;
  for (; merges_[slot].left >= 0; slot = (slot + 1) & merge_mask_) {
    if (merges_[slot].left == left && merges_[slot].right == right) return &merges_[slot];
  }
  return nullptr;
}

// ---- Merging a piece: a doubly linked list of symbols, and a heap of candidate pairs, best rank and then leftmost
// first.

struct BpeTokenizer::Symbol {
  int32_t id;           // -1: merged away, or a byte without a token, which no merge has
  uint32_t prev, next;  // indices; kNone at the ends
};

struct BpeTokenizer::Candidate {
  int32_t rank;
  uint32_t at;    // the left symbol
  uint32_t slot;  // of the merge; the candidate is stale once the symbols there are others
  bool operator<(const Candidate& other) const {  // of a max-heap: the best candidate is the largest
    return rank != other.rank ? rank > other.rank : at > other.at;
  }
};

namespace {
constexpr uint32_t kNone = ~0u;
}

class BpeTokenizer::Queue {
 public:
  Queue(const BpeTokenizer& tokenizer, std::string_view piece, Symbol* symbols, Candidate* heap)
      : tokenizer_(tokenizer), symbols_(symbols), heap_(heap) {
    const uint32_t n = uint32_t(piece.size());
    for (uint32_t i = 0; i < n; ++i)
      symbols[i] = {tokenizer.byte_ids_[uint8_t(piece[i])], i == 0 ? kNone : i - 1, i + 1 == n ? kNone : i + 1};
    for (uint32_t i = 0; i + 1 < n; ++i) offer(i);
  }

  // Merges until no rule applies. The heap starts with at most n - 1 candidates; each of the at most n - 1 merges takes
  // one out and offers two: it never holds more than 2 n.
  void merge_all() {
    while (size_ > 0) {
      std::pop_heap(heap_, heap_ + size_);
      const Candidate best = heap_[--size_];
      const Merge& merge = tokenizer_.merges_[best.slot];
      Symbol& left = symbols_[best.at];
      if (left.id != merge.left || left.next == kNone || symbols_[left.next].id != merge.right) continue;
      Symbol& right = symbols_[left.next];
      left.id = merge.merged;
      right.id = -1;
      left.next = right.next;
      if (left.next != kNone) symbols_[left.next].prev = best.at;
      offer(best.at);
      if (left.prev != kNone) offer(left.prev);
    }
  }

 private:
  void offer(uint32_t at) {
    const Symbol& left = symbols_[at];
    if (left.next == kNone) return;
    const Merge* merge = tokenizer_.find_merge(left.id, symbols_[left.next].id);
    if (merge == nullptr) return;
    heap_[size_++] = {merge->rank, at, uint32_t(merge - tokenizer_.merges_)};
    std::push_heap(heap_, heap_ + size_);
  }

  const BpeTokenizer& tokenizer_;
  Symbol* symbols_;
  Candidate* heap_;
  size_t size_ = 0;
};

size_t BpeTokenizer::work_bytes(size_t n_bytes) {
  constexpr size_t kPerByte = sizeof(Symbol) + 2 * sizeof(Candidate);
  return n_bytes > (SIZE_MAX - alignof(Symbol)) / kPerByte ? SIZE_MAX : n_bytes * kPerByte + alignof(Symbol);
}

// The ids of a text, as far as there is room, and how many there are.
class BpeTokenizer::Ids {
 public:
  Ids(int32_t* tokens, size_t capacity) : tokens_(tokens), capacity_(capacity) {}
  void put(int32_t id) {
    if (count_ < capacity_) tokens_[count_] = id;
    ++count_;
  }
  void miss(const char* byte) {
    if (missing_ == nullptr) missing_ = byte;
  }
  size_t count() const { return count_; }
  const char* missing() const { return missing_; }  // the first byte without a token, or NULL

 private:
  int32_t* tokens_;
  size_t capacity_, count_ = 0;
  const char* missing_ = nullptr;
};

void BpeTokenizer::encode_piece(std::string_view piece, void* work, Ids* out) const {
  static_assert(alignof(Symbol) == 4 && alignof(Candidate) == 4);
  char* aligned = static_cast<char*>(work);
  aligned += (4 - reinterpret_cast<uintptr_t>(work) % 4) % 4;
  Symbol* symbols = reinterpret_cast<Symbol*>(aligned);
  Queue(*this, piece, symbols, reinterpret_cast<Candidate*>(symbols + piece.size())).merge_all();
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) {
    if (symbols[i].id >= 0) out->put(symbols[i].id);
    else out->miss(piece.data() + i);
  }
}

void BpeTokenizer::encode_span(std::string_view span, void* work, Ids* out) const {
  while (!span.empty()) {
    const size_t n = next_piece(span);
    encode_piece({span.data(), n}, work, out);
    span.remove_prefix(n);
  }
}

void BpeTokenizer::encode_plain(std::string_view text, void* work, Ids* out) const {
  while (!text.empty()) {
    const size_t n = splits_digits_ ? next_span(text) : text.size();
    encode_span({text.data(), n}, work, out);
    text.remove_prefix(n);
  }
}

size_t BpeTokenizer::encode(std::string_view text, int32_t* tokens, size_t capacity, void* work, Specials specials,
                            size_t* out_missing) const {
  Ids out(tokens, capacity);
  size_t start = 0;  // of the text that is not encoded yet
  for (size_t at = 0; specials == Specials::are_found && at < text.size();) {
    const Special* special =
        begins_special_[uint8_t(text[at])] ? special_at({text.data() + at, text.size() - at}) : nullptr;
    if (special == nullptr) {
      ++at;
      continue;
    }
    encode_plain({text.data() + start, at - start}, work, &out);
    out.put(special->id);
    start = at += special->n;
  }
  encode_plain({text.data() + start, text.size() - start}, work, &out);
  if (out_missing != nullptr) *out_missing = out.missing() == nullptr ? SIZE_MAX : size_t(out.missing() - text.data());
  return out.count();
}

}  // namespace pith::internal
