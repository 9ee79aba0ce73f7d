// SHA-256 of our own against the standard's examples, and against OpenSSL.
#include "sha256.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "sha256_rounds.h"

namespace {

using namespace pith::quantize;

std::string hex(Sha256Rounds* rounds) {
  std::string out;
  for (const uint8_t byte : rounds->digest()) {
    for (const int digit : {byte >> 4, byte & 15}) out += "0123456789abcdef"[digit];
  }
  return out;
}

std::string rounds_hex(const std::string& text) {
  Sha256Rounds rounds;
  rounds.add(text.data(), text.size());
  return hex(&rounds);
}

}  // namespace

// The examples for FIPS 180-4 that NIST publishes, and of SHA-256's validation those of no message and of one byte.
TEST_CASE("SHA-256 of the standard's examples") {
  CHECK(rounds_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(rounds_hex("\xd3") == "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1");
  CHECK(rounds_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(rounds_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(rounds_hex("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
                   "mnopqrstnopqrstu") == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(rounds_hex(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Every length up to some blocks, and random ones, whole and in random pieces. Against OpenSSL where the command has it, as in CI; a
// build without it compares the pieces with the whole alone.
TEST_CASE("SHA-256 of our own is that of the command") {
  const uint32_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::vector<size_t> lengths;
  for (size_t length = 0; length <= 260; ++length) lengths.push_back(length);
  for (int i = 0; i < 200; ++i) lengths.push_back(random() % 100'000);
  for (const size_t length : lengths) {
    CAPTURE(length);
    std::vector<uint8_t> bytes(length);
    for (uint8_t& byte : bytes) byte = uint8_t(random());
    Sha256Rounds whole, in_pieces;
    whole.add(bytes.data(), length);
    for (size_t at = 0; at < length;) {
      const size_t n = std::min<size_t>(1 + random() % 200, length - at);
      in_pieces.add(bytes.data() + at, n);
      at += n;
    }
    const std::string expected = sha256_hex(bytes.data(), length);
    CHECK(hex(&whole) == expected);
    CHECK(hex(&in_pieces) == expected);
    if (length == 0) continue;
    bytes[random() % length] ^= 1;  // the control: another message has another hash
    Sha256Rounds other;
    other.add(bytes.data(), length);
    CHECK(hex(&other) != expected);
  }
}
