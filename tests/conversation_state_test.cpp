// A conversation that is cut anywhere and goes on in new objects: states of sampler, stream and session together.
// tests/session_state_test.cpp has the session's alone.
#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "pith/pith.hpp"
#include "raw_gguf.h"

using namespace pith;
using pith::test::Block;
using pith::test::block_of;
using Bytes = std::vector<uint8_t>;

namespace {

std::vector<float> random_logits(size_t n, std::mt19937_64* random) {
  std::normal_distribution<float> normal;
  std::vector<float> out(n);
  for (float& x : out) x = 2 * normal(*random);
  return out;
}

pith_sampler_options with_penalty(uint32_t window) {
  pith_sampler_options options = sampler_options();
  options.repeat_penalty = 1.7f;
  options.repeat_window = window;
  options.seed = 9;
  return options;
}

void set_word(Bytes* state, size_t at, uint64_t value) { std::memcpy(state->data() + at, &value, sizeof value); }

// Gives a falsified state the length and the hash that its bytes ask for (src/ground/saved_state.h).
void repair(Bytes* state) {
  set_word(state, 16, state->size());
  uint64_t hash = 0xcbf29ce484222325ull;
  for (size_t i = 40; i < state->size(); ++i) hash = (hash ^ (*state)[i]) * 0x100000001b3ull;
  set_word(state, 32, hash);
}

// Every truncation and every flipped bit is refused and changes nothing; with a true hash it is refused, or taken whole.
template <typename Object, typename Restore>
void withstands_damage(Object* object, const Bytes& state, const Restore& restore) {
  const Bytes before = object->save();
  REQUIRE(before != state);
  const auto is_refused = [&](const Bytes& bytes) {
    const Block exact = block_of(bytes.data(), bytes.size());  // AddressSanitizer sees every byte beyond
    pith_error error{};
    const pith_status status = restore(exact.get(), bytes.size(), &error);
    if (status == PITH_OK) return false;
    CHECK(status >= PITH_E_SAVED_TRUNCATED);
    CHECK(status <= PITH_E_SAVED_VALUE);
    CHECK(std::string(error.message).find("state: ") == 0);
    return true;
  };
  size_t n_taken = 0, n_changed = 0, n_accepted = 0;
  for (size_t n = 0; n < state.size(); ++n) n_taken += !is_refused(Bytes(state.begin(), state.begin() + int64_t(n)));
  Bytes bytes = state;
  bytes.push_back(0);
  n_taken += !is_refused(bytes);
  for (size_t bit = 0; bit < 8 * state.size(); ++bit) {
    bytes = state;
    bytes[bit / 8] ^= uint8_t(1 << bit % 8);
    n_taken += !is_refused(bytes);
  }
  CHECK(n_taken == 0);
  CHECK(object->save() == before);
  for (size_t bit = 8 * 40; bit < 8 * state.size(); ++bit) {
    bytes = state;
    bytes[bit / 8] ^= uint8_t(1 << bit % 8);
    repair(&bytes);
    const bool is_taken = !is_refused(bytes);
    n_accepted += is_taken;
    n_changed += object->save() != (is_taken ? bytes : before);
    object->restore(before);
  }
  for (size_t n = 40; n < state.size(); ++n) {
    bytes.assign(state.begin(), state.begin() + int64_t(n));
    repair(&bytes);
    n_taken += !is_refused(bytes);
  }
  CHECK(n_taken == 0);
  CHECK(n_changed == 0);
  CHECK(n_accepted > 10);  // positive control: other numbers of the same kind are a state as well
  object->restore(state);
  CHECK(object->save() == state);
}

}  // namespace

// ---- Sampler ---------------------------------------------------------------------------------------------------------

TEST_CASE("a restored sampler draws what the saved one would have drawn") {
  std::mt19937_64 random(1);
  for (const uint32_t window : {1u, 5u, 64u, PITH_REPEAT_WINDOW_NONE}) {
    for (const int n_before : {0, 3, 5, 63, 64, 65, 200}) {
      CAPTURE(window);
      CAPTURE(n_before);
      const pith_sampler_options options = with_penalty(window);
      Sampler one(50, options), other(50, options);
      for (int i = 0; i < n_before; ++i) one.draw(random_logits(50, &random));
      for (int i = 0; i < 7; ++i) other.draw(random_logits(50, &random));
      const Bytes state = one.save();
      CHECK(state.size() <= one.state_bytes());
      other.restore(state);
      CHECK(other.save() == state);
      int n_same = 0;
      for (int i = 0; i < 100; ++i) {
        const std::vector<float> logits = random_logits(50, &random);
        n_same += one.draw(logits) == other.draw(logits);
      }
      CHECK(n_same == 100);
    }
  }
}

TEST_CASE("a sampler with a smaller window takes the latest tokens of a state, one with a larger all of them") {
  Sampler large(10, with_penalty(6)), small(10, with_penalty(2)), expected(10, with_penalty(2));
  for (const int32_t token : {1, 2, 3, 4, 5, 6, 7}) large.accept(token);
  small.restore(large.save());
  for (const int32_t token : {6, 7}) expected.accept(token);
  CHECK(small.save() == expected.save());
  Sampler again(10, with_penalty(6)), of_two(10, with_penalty(6));
  again.restore(small.save());
  for (const int32_t token : {6, 7}) of_two.accept(token);
  CHECK(again.save() == of_two.save());
}

TEST_CASE("a state of a sampler withstands damage and deceit, and is bound to the vocabulary's size") {
  Sampler source(50, with_penalty(5)), target(50, with_penalty(5)), another(51, with_penalty(5));
  for (int32_t token = 0; token < 9; ++token) source.accept(token);
  target.accept(20);
  const Bytes state = source.save();
  CHECK_THROWS_WITH_AS(another.restore(state), "state: of a model with another number of tokens", Error);
  withstands_damage(&target, state, [&](const uint8_t* bytes, size_t n, pith_error* error) {
    return pith_sampler_restore(target.get(), bytes, n, error);
  });
  Bytes dead = state;
  for (size_t at = 40; at < 72; ++at) dead.at(at) = 0;  // the words of the generator
  repair(&dead);
  CHECK_THROWS_AS(target.restore(dead), Error);
  for (size_t word = 40; word < 72; word += 8) {  // one word that is not 0 is a generator
    Bytes alive = dead;
    set_word(&alive, word, 1);
    repair(&alive);
    CHECK_NOTHROW(target.restore(alive));
  }
}

TEST_CASE("every token of a sampler's state is one of the vocabulary") {
  Sampler source(50, with_penalty(5)), target(50, with_penalty(5));
  for (int32_t token = 0; token < 5; ++token) source.accept(token);
  const Bytes state = source.save();
  for (size_t i = 0; i < 5; ++i) {
    for (const int32_t token : {-1, 50, INT32_MIN, INT32_MAX, 0, 49}) {
      Bytes changed = state;
      std::memcpy(changed.data() + 80 + 4 * i, &token, sizeof token);  // behind the header
      repair(&changed);
      CAPTURE(i);
      CAPTURE(token);
      pith_error error{};
      const bool is_taken = pith_sampler_restore(target.get(), changed.data(), changed.size(), &error) == PITH_OK;
      CHECK(is_taken == (token == 0 || token == 49));
      const std::string words = "token " + std::to_string(token) + " is not within 0 .. 49";
      if (!is_taken) CHECK(std::string(error.message) == "state: " + words);
    }
  }
}

TEST_CASE("a state is at least a header") {
  Sampler target(50, with_penalty(5));
  const Bytes letters(40, 'x');
  for (const size_t n : {0, 39, 40}) {
    const Block exact = block_of(letters.data(), n);
    CHECK(int(pith_sampler_restore(target.get(), exact.get(), n, nullptr)) ==
          int(n < 40 ? PITH_E_SAVED_TRUNCATED : PITH_E_SAVED_KIND));
  }
}

TEST_CASE("a sampler's state holds up to 65,536 tokens") {
  Sampler source(50, with_penalty(65536)), target(50, with_penalty(4));
  for (int32_t i = 0; i < 65536; ++i) source.accept(i % 50);
  Bytes state = source.save();
  CHECK(int(pith_sampler_restore(target.get(), state.data(), state.size(), nullptr)) == int(PITH_OK));
  state.resize(state.size() + sizeof(int32_t));
  set_word(&state, 72, 65537);  // the number of tokens
  repair(&state);
  CHECK(int(pith_sampler_restore(target.get(), state.data(), state.size(), nullptr)) == int(PITH_E_SAVED_VALUE));
}

TEST_CASE("a seed starts the generator anew and leaves the recent tokens") {
  std::mt19937_64 random(2);
  Sampler one(50, with_penalty(8)), other(50, with_penalty(8));
  for (int i = 0; i < 20; ++i) one.draw(random_logits(50, &random));
  other.restore(one.save());
  one.set_seed(77);
  other.set_seed(77);
  CHECK(one.save() == other.save());
  const std::vector<float> logits(50, 1.0f);
  std::vector<int32_t> first(10), second(10), third(10);
  for (int32_t& token : first) token = one.draw(logits);
  other.set_seed(78);
  for (int32_t& token : second) token = other.draw(logits);
  CHECK(first != second);
}

// ---- Stream ----------------------------------------------------------------------------------------------------------

TEST_CASE("a stream that is cut anywhere shows what an uncut one shows") {
  std::mt19937_64 random(3);
  const std::vector<std::string> stops = {"END", "aab", "\xc3\xa9"};
  const std::string alphabet = "aabEND\xc3\xa8\xa9\xe2\x82";
  int n_stopped = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 40, ' ');
    for (char& c : text) c = alphabet[random() % alphabet.size()];
    CAPTURE(text);
    TextStream whole(stops), first(stops), second(stops);
    std::string expected = whole.push(text);
    expected += whole.finish();
    const size_t cut = random() % (text.size() + 1);
    std::string shown = first.push(std::string_view(text).substr(0, cut));
    second.push("aa EN");  // what it held before is gone
    second.restore(first.save());
    REQUIRE(second.stopped() == first.stopped());
    shown += second.push(std::string_view(text).substr(cut));
    shown += second.finish();
    REQUIRE(shown == expected);
    n_stopped += whole.stopped();
  }
  CHECK(n_stopped > 300);
}

TEST_CASE("a state of a stream with other stop strings: what was held back comes out, or stops there") {
  TextStream source({"a stop"});
  CHECK(source.push("this is a sto") == "this is ");
  const Bytes state = source.save();
  TextStream without, shorter({"st"}), longer({"stores"});
  without.restore(state);
  CHECK(without.push("ry") == "a story");
  shorter.restore(state);
  CHECK(shorter.stopped());
  CHECK(shorter.push("ry") == "");
  CHECK(shorter.finish() == "a ");
  longer.restore(state);
  CHECK(longer.push("re") == "a ");
  CHECK(longer.push("s") == "");
  CHECK(longer.stopped());
}

TEST_CASE("a state of a stream withstands damage and deceit") {
  TextStream source({"abcdefghijklm"}), target({"abcdefghijklm"});
  CHECK(source.push("abcdefghijkl") == "");
  CHECK(target.push("xab") == "x");
  withstands_damage(&target, source.save(), [&](const uint8_t* bytes, size_t n, pith_error* error) {
    const Result<void> result = target.try_restore({bytes, n});
    if (result) return PITH_OK;
    std::strcpy(error->message, result.error().message());
    return result.error().status();
  });
}

// ---- All of it -------------------------------------------------------------------------------------------------------

TEST_CASE("n tokens, a cut and m tokens are n + m tokens, with penalty, temperature and a stop string across the cut") {
  const Model model = Model::open(PITH_SOURCE_DIR "/tests/golden/tiny.q4.gguf");
  const Tokenizer tokenizer(model);
  const uint32_t vocab_size = model.info().vocab_size;
  struct Conversation {
    Session session;
    Sampler sampler;
    TextStream stream;
    std::string text;
  };
  const auto begin = [&](const std::vector<std::string>& stops) {
    return Conversation{Session(model), Sampler(vocab_size, with_penalty(32)), TextStream(stops), ""};
  };
  const auto draw = [&](Conversation* c, int n) {
    for (int i = 0; i < n && !c->stream.stopped(); ++i) {
      const int32_t token = c->sampler.draw(c->session.logits());
      c->text += c->stream.push(tokenizer.decode(token));
      c->session.eval(token);
    }
  };
  constexpr int kTokens = 60;
  Conversation plain = begin({});
  const std::vector<int32_t> prompt = tokenizer.encode("The fox", PITH_ENCODE_BOS);
  plain.session.eval(prompt);
  draw(&plain, kTokens);
  plain.text += plain.stream.finish();
  REQUIRE(plain.text.size() > 80);
  int n_within = 0, n_stopped = 0;
  for (int cut = 0; cut < kTokens; ++cut) {
    // A stop string that begins before the cut, as far as the text before it is known, and ends after it.
    Conversation before = begin({});
    before.session.eval(prompt);
    draw(&before, cut);
    const size_t at = before.text.size() < 3 ? 0 : before.text.size() - 3;
    const std::string stop = plain.text.substr(at, 7);
    Conversation whole = begin({stop}), first = begin({stop}), second = begin({stop});
    whole.session.eval(prompt);
    first.session.eval(prompt);
    draw(&whole, kTokens);
    draw(&first, cut);
    second.session.restore(first.session.save());
    second.sampler.restore(first.sampler.save());
    second.stream.restore(first.stream.save());
    n_within += first.text != before.text;
    draw(&second, kTokens - cut);
    CHECK(first.text + second.text == whole.text);
    CHECK(second.stream.stopped() == whole.stream.stopped());
    n_stopped += whole.stream.stopped();
  }
  CHECK(n_within > 10);  // the cut was within the stop string
  CHECK(n_stopped > 50);
}
