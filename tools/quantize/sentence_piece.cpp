#include "sentence_piece.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include <fmt/core.h>

namespace pith::quantize {
namespace {

constexpr size_t kMaxPieces = size_t(1) << 22;

// A field of a message: a number (wire types 0, 1, 5), or bytes (2).
struct Field {
  uint64_t number = 0;  // of the field
  uint32_t wire = 0;
  uint64_t value = 0;
  std::string_view bytes;
};

class Message {
 public:
  explicit Message(std::string_view bytes) : left_(bytes) {}

  bool next(Field* field) {
    if (left_.empty()) return false;
    const uint64_t key = varint();
    *field = {key >> 3, uint32_t(key & 7), 0, {}};
    switch (field->wire) {
      case 0: field->value = varint(); break;
      case 1: field->value = fixed<uint64_t>(); break;
      case 2: field->bytes = take(varint()); break;
      case 5: field->value = fixed<uint32_t>(); break;
      default: throw std::runtime_error(fmt::format("wire type {} is not known", field->wire));
    }
    return true;
  }

 private:
  std::string_view take(uint64_t n) {
    if (n > left_.size()) throw std::runtime_error("a field runs past its end");
    const std::string_view out = left_.substr(0, size_t(n));
    left_.remove_prefix(size_t(n));
    return out;
  }
  template <typename T>
  T fixed() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = uint8_t(take(1)[0]);
      value |= uint64_t(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw std::runtime_error("a number has more than 64 bits");
  }

  std::string_view left_;
};

void expect(const Field& field, uint32_t wire) {
  if (field.wire != wire)
    throw std::runtime_error(fmt::format("field {} has wire type {}, not {}", field.number, field.wire, wire));
}

SentencePiece::Piece read_piece(std::string_view bytes) {
  SentencePiece::Piece piece;
  Message message(bytes);
  for (Field field; message.next(&field);) {
    if (field.number == 1) {
      expect(field, 2);
      piece.text = field.bytes;
    } else if (field.number == 2) {
      expect(field, 5);
      const uint32_t bits = uint32_t(field.value);
      std::memcpy(&piece.score, &bits, sizeof bits);
    } else if (field.number == 3) {
      expect(field, 0);
      if (field.value < 1 || field.value > 6) throw std::runtime_error(fmt::format("a piece of type {}", field.value));
      piece.type = int32_t(field.value);
    }
  }
  if (piece.text.empty() || !std::isfinite(piece.score)) throw std::runtime_error("a piece without text or score");
  return piece;
}

// The last of the fields of that number, or `otherwise`.
uint64_t number_in(std::string_view bytes, uint64_t number, uint64_t otherwise) {
  Message message(bytes);
  for (Field field; message.next(&field);) {
    if (field.number != number) continue;
    expect(field, 0);
    otherwise = field.value;
  }
  return otherwise;
}

bool has_bytes(std::string_view bytes, uint64_t number) {
  Message message(bytes);
  for (Field field; message.next(&field);) {
    if (field.number == number && field.wire == 2 && !field.bytes.empty()) return true;
  }
  return false;
}

void read_trainer(std::string_view bytes, SentencePiece* out) {
  constexpr uint64_t kModelType = 3, kBpe = 2, kBlankAsSuffix = 24;
  out->is_bpe = number_in(bytes, kModelType, 1) == kBpe;
  if (number_in(bytes, kBlankAsSuffix, 0) != 0) out->writes_blanks = false;
}

void read_normalizer(std::string_view bytes, SentencePiece* out) {
  constexpr uint64_t kCharacterMap = 2, kAddDummyPrefix = 3, kRemoveExtraBlanks = 4, kEscapeBlanks = 5;
  out->adds_space = number_in(bytes, kAddDummyPrefix, 1) != 0;
  if (number_in(bytes, kEscapeBlanks, 1) == 0) out->writes_blanks = false;
  out->changes_text = has_bytes(bytes, kCharacterMap) || number_in(bytes, kRemoveExtraBlanks, 1) != 0;
}

}  // namespace

SentencePiece read_sentence_piece(std::string_view bytes) {
  constexpr uint64_t kPieces = 1, kTrainer = 2, kNormalizer = 3;  // of the model
  SentencePiece out;
  Message message(bytes);
  for (Field field; message.next(&field);) {
    if (field.number < kPieces || field.number > kNormalizer) continue;
    expect(field, 2);
    if (field.number == kPieces) out.pieces.push_back(read_piece(field.bytes));
    if (field.number == kTrainer) read_trainer(field.bytes, &out);
    if (field.number == kNormalizer) read_normalizer(field.bytes, &out);
    if (out.pieces.size() > kMaxPieces) throw std::runtime_error(fmt::format("more than {} pieces", kMaxPieces));
  }
  if (out.pieces.empty()) throw std::runtime_error("it has no pieces");
  return out;
}

}  // namespace pith::quantize
