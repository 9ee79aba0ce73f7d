// libFuzzer: any bytes as a saved state; the first byte says of what. A state is refused, or the object goes on from it: a session that
// took one gives the same logits as another that takes what the first one saves. Mutations keep the length and the hash of the header
// true, so that what is behind them is reached; a mutation of nothing begins with a state that a session, sampler or stream has saved.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "ground/saved_state.h"
#include "memory.h"
#include "raw_gguf.h"

using namespace pith::fuzz;
using pith::internal::fnv1a;
using pith::internal::SavedHeader;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint32_t kCapacity = 6;
constexpr uint8_t kKinds =
    6;  // sessions with int8, float32 and materialised caches; a sampler; streams without and with stop strings

const pith_model* the_model() {
  static const pith_model* model = [] {
    const Bytes bytes = pith::test::tiny_packed().build();  // gated: its states have groups and rows
    void* data = copy_of(bytes.data(), bytes.size()).release();
    size_t need = 0;
    require(pith_model_bytes(data, bytes.size(), &need, nullptr) == PITH_OK);
    pith_model* out = nullptr;
    require(pith_model_init(data, bytes.size(), memory_of(need).release(), need, &out, nullptr) == PITH_OK);
    return out;
  }();
  return model;
}

uint32_t vocab_size() {
  pith_model_info info{};
  info.struct_size = sizeof info;
  require(pith_model_get_info(the_model(), &info, nullptr) == PITH_OK);
  return info.vocab_size;
}

// What pith_X_save writes of an object into at most `capacity` bytes.
template <typename Object, typename Save>
Bytes state_of(Object* object, size_t capacity, Save save) {
  Bytes out(capacity);
  size_t n = 0;
  require(save(object, out.data(), out.size(), &n, nullptr) == PITH_OK);
  out.resize(n);
  return out;
}

class Session {
 public:
  explicit Session(uint8_t kind) {
    pith_session_options options;
    pith_session_options_init(&options, sizeof options);
    options.capacity = kCapacity;
    options.n_keep = 1;
    options.chunk = 1;
    options.cache = kind == 1 ? PITH_PRECISION_F32 : PITH_PRECISION_I8;
    options.attention = kind == 2 ? PITH_ATTENTION_MATERIALISE : PITH_ATTENTION_DEFAULT;
    size_t bytes = 0;
    require(pith_session_bytes(the_model(), &options, &bytes, nullptr) == PITH_OK);
    memory_ = memory_of(bytes);
    require(pith_session_init(the_model(), &options, memory_.get(), bytes, &session_, nullptr) == PITH_OK);
  }
  pith_session* get() { return session_; }
  void reset() { require(pith_session_reset(session_, nullptr) == PITH_OK); }
  pith_status eval(int32_t token) { return pith_session_eval(session_, &token, 1, nullptr); }
  Bytes logits() const {
    const uint8_t* at = reinterpret_cast<const uint8_t*>(pith_session_logits(session_));
    return at == nullptr ? Bytes() : Bytes(at, at + vocab_size() * sizeof(float));
  }
  Bytes save() { return state_of(session_, pith_session_state_bytes(session_), pith_session_save); }
  pith_status restore(const Bytes& state) {
    return pith_session_restore(session_, copy_of(state.data(), state.size()).get(), state.size(), nullptr);
  }

 private:
  Memory memory_;
  pith_session* session_ = nullptr;
};

// What a new session computes for token 5, which a refused state must not change.
const Bytes& fresh_logits(uint8_t kind) {
  static Bytes logits[3];
  if (logits[kind].empty()) {
    Session session(kind);
    require(session.eval(5) == PITH_OK);
    logits[kind] = session.logits();
  }
  return logits[kind];
}

void restore_session(uint8_t kind, const Bytes& state) {
  static Session sessions[3][2] = {{Session(0), Session(0)}, {Session(1), Session(1)}, {Session(2), Session(2)}};
  Session &first = sessions[kind][0], &second = sessions[kind][1];
  first.reset();
  if (first.restore(state) != PITH_OK) {
    require(pith_session_position(first.get()) == 0 && first.eval(5) == PITH_OK &&
            first.logits() == fresh_logits(kind));
    return;
  }
  const Bytes saved = first.save();
  require(second.restore(saved) == PITH_OK && first.logits() == second.logits());
  for (const int32_t token : {3, 3, 0, 5}) {
    const pith_status status = first.eval(token);
    require(second.eval(token) == status && (status == PITH_OK || status == PITH_E_NUMERIC || status == PITH_E_STATE));
    require(first.logits() == second.logits());
  }
}

class Sampler {
 public:
  explicit Sampler(uint32_t window) {
    pith_sampler_options options;
    pith_sampler_options_init(&options, sizeof options);
    options.repeat_window = window;
    options.repeat_penalty = 1.5f;
    size_t bytes = 0;
    require(pith_sampler_bytes(&options, kVocab, &bytes, nullptr) == PITH_OK);
    memory_ = memory_of(bytes);
    require(pith_sampler_init(&options, kVocab, memory_.get(), bytes, &sampler_, nullptr) == PITH_OK);
  }
  int32_t draw() {
    float logits[kVocab];
    for (uint32_t i = 0; i < kVocab; ++i) logits[i] = float(i * 7 % 11);
    int32_t token = -1;
    require(pith_sampler_draw(sampler_, logits, &token, nullptr) == PITH_OK && token >= 0 && token < int32_t(kVocab));
    return token;
  }
  Bytes save() const { return state_of(sampler_, pith_sampler_state_bytes(sampler_), pith_sampler_save); }
  pith_status restore(const Bytes& state) {
    return pith_sampler_restore(sampler_, copy_of(state.data(), state.size()).get(), state.size(), nullptr);
  }

 private:
  static constexpr uint32_t kVocab = 20;
  Memory memory_;
  pith_sampler* sampler_ = nullptr;
};

void restore_sampler(const Bytes& state) {
  Sampler first(5), second(5), untouched(5);
  const bool is_taken = first.restore(state) == PITH_OK;
  if (is_taken) require(second.restore(first.save()) == PITH_OK);
  for (int i = 0; i < 8; ++i) require(first.draw() == (is_taken ? second : untouched).draw());
}

pith_stream new_stream(size_t n_stops) {
  const char* const stops[] = {"<|end|>", "\n\nUser:"};
  pith_stream stream{};
  stream.struct_size = sizeof stream;
  require(pith_stream_init(&stream, stops, n_stops, nullptr) == PITH_OK);
  return stream;
}

Bytes save_stream(const pith_stream& stream) {
  return state_of(&stream, pith_stream_state_bytes(&stream), pith_stream_save);
}

Bytes push_all(pith_stream* stream) {
  Bytes shown;
  for (const char* text : {"d|>a", "\xc3", "\xa4<|", "en", "x"}) {
    const size_t capacity = pith_stream_capacity(std::strlen(text));
    Memory out = memory_of(capacity);
    size_t n = 0;
    require(pith_stream_push(stream, text, std::strlen(text), static_cast<char*>(out.get()), capacity, &n, nullptr) ==
            PITH_OK);
    shown.insert(shown.end(), static_cast<uint8_t*>(out.get()), static_cast<uint8_t*>(out.get()) + n);
  }
  return shown;
}

void restore_stream(size_t n_stops, const Bytes& state) {
  pith_stream stream = new_stream(n_stops);
  const pith_stream untouched = stream;
  const Memory exact = copy_of(state.data(), state.size());
  if (pith_stream_restore(&stream, exact.get(), state.size(), nullptr) != PITH_OK) {
    require(std::memcmp(&stream, &untouched, sizeof stream) == 0);
    return;
  }
  const Bytes saved = save_stream(stream);
  pith_stream again = new_stream(n_stops);
  require(pith_stream_restore(&again, saved.data(), saved.size(), nullptr) == PITH_OK);
  require(push_all(&stream) == push_all(&again));
}

// A true state of a kind, to begin with.
Bytes state_of(uint8_t kind, std::mt19937_64* random) {
  if (kind < 3) {
    Session session(kind);
    for (uint64_t n = (*random)() % (2 * kCapacity); n > 0; --n)
      require(session.eval(int32_t((*random)() % 4)) == PITH_OK);
    return session.save();
  }
  if (kind == 3) {
    Sampler sampler(5);
    for (uint64_t n = (*random)() % 9; n > 0; --n) sampler.draw();
    return sampler.save();
  }
  pith_stream stream = new_stream(kind - 4u);
  push_all(&stream);
  return save_stream(stream);
}

void repair(uint8_t* state, size_t n) {
  SavedHeader h;
  if (n < sizeof h) return;
  std::memcpy(&h, state, sizeof h);
  h.bytes = n;
  h.hash = fnv1a(state + sizeof h, n - sizeof h);
  std::memcpy(state, &h, sizeof h);
}

// One word of what the header covers becomes another number, mostly a small one: an id, a slot, a row, a count.
void change_word(uint8_t* state, size_t n, std::mt19937_64* random) {
  if (n < sizeof(SavedHeader) + 4) return;
  const size_t at = sizeof(SavedHeader) + (*random)() % ((n - sizeof(SavedHeader)) / 4) * 4;
  uint32_t word;
  std::memcpy(&word, state + at, sizeof word);
  switch ((*random)() % 5) {
    case 0: word += 1; break;
    case 1: word -= 1; break;
    case 2: word = uint32_t((*random)() % 9) - 1; break;
    case 3: word ^= 1u << (*random)() % 32; break;
    default:
      std::memcpy(&word, state + sizeof(SavedHeader) + (*random)() % ((n - sizeof(SavedHeader)) / 4) * 4, sizeof word);
  }
  std::memcpy(state + at, &word, sizeof word);
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::mt19937_64 random(seed);
  if (size < 1 + sizeof(SavedHeader) || random() % 64 == 0) {
    const uint8_t kind = uint8_t(random() % kKinds);
    const Bytes state = state_of(kind, &random);
    if (state.size() + 1 > max_size) return size;
    data[0] = kind;
    std::copy(state.begin(), state.end(), data + 1);
    return state.size() + 1;
  }
  if (random() % 3 == 0) size = 1 + LLVMFuzzerMutate(data + 1, size - 1, max_size - 1);
  for (uint64_t left = random() % 3; left > 0; --left) change_word(data + 1, size - 1, &random);
  if (random() % 16 != 0) repair(data + 1, size - 1);
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t kind = data[0] % kKinds;
  const Bytes state(data + 1, data + size);
  if (kind < 3) restore_session(kind, state);
  else if (kind == 3) restore_sampler(state);
  else restore_stream(kind - 4u, state);
  return 0;
}
