// Every pattern stands over the function that matches it by hand. The patterns are those of the published
// tokenizer.json files (Kimi-K2's is that of its own Python code), alternatives in their order; one that is "isolated"
// leaves what it does not match as pieces of their own. Characters are those of Unicode 16; a byte that is not UTF-8 is
// a character of no kind.
#include "text/pre_tokenizer.h"

#include "text/characters.h"

namespace pith::internal {
namespace {

using Text = std::string_view;

// Whether a character belongs to a set; not asked at the end of a text.
using IsIn = bool (*)(const Character& c);

// End of the run of characters of a set that begins at `at`, of at most `limit` characters.
template <IsIn is_in>
size_t run_end(Text text, size_t at, size_t limit = SIZE_MAX) {
  for (Character c = character_at(text, at); c.bytes > 0 && limit > 0 && is_in(c); c = character_at(text, at), --limit)
    at += c.bytes;
  return at;
}

// Where a pattern's match of text[at ..] ends; `at` itself: it has none there.
using Match = size_t (*)(Text text, size_t at);

// Splits by the matches of a pattern, wherever they are, and what is between them.
template <Match match>
size_t isolate(Text text) {
  const size_t first = match(text, 0);
  if (first > 0) return first;
  size_t at = character_at(text, 0).bytes;
  while (at < text.size() && match(text, at) == at) at += character_at(text, at).bytes;
  return at;
}

bool is_letter(const Character& c) { return c.is(kLetter); }
bool is_number(const Character& c) { return c.is(kNumber); }
bool is_line_end(const Character& c) { return c.is_line_end(); }
bool is_punctuation(const Character& c) { return c.is(kPunctuation); }
bool is_rest(const Character& c) { return c.bytes > 0 && !c.is(kSpace | kLetter | kNumber); }  // [^\s\p{L}\p{N}]

// \s+(?!\S)|\s+   All white space at the end of a text; otherwise all but its last character, which may go with the
// word that follows; or that one alone.
size_t match_space(Text text, size_t at) {
  size_t end = at, before_last = at;
  for (Character c = character_at(text, end); c.is(kSpace); c = character_at(text, end)) {
    before_last = end;
    end += c.bytes;
  }
  return end < text.size() && before_last > at ? before_last : end;
}

// \s*[\r\n]+|\s+(?!\S)|\s+
size_t match_lines_or_space(Text text, size_t at) {
  size_t after_line_end = at;
  size_t end = at;
  for (Character c = character_at(text, end); c.is(kSpace); c = character_at(text, end)) {
    end += c.bytes;
    if (c.is_line_end()) after_line_end = end;
  }
  return after_line_end > at ? after_line_end : match_space(text, at);
}

// ` ?X+`
template <IsIn is_in>
size_t match_spaced_run(Text text, size_t at) {
  const size_t start = at < text.size() && text[at] == ' ' ? at + 1 : at;
  const size_t end = run_end<is_in>(text, start);
  return end > start ? end : at;
}

// ` ?X+Y*`
template <IsIn is_in, IsIn is_behind>
size_t match_spaced_run_and(Text text, size_t at) {
  const size_t end = match_spaced_run<is_in>(text, at);
  return end > at ? run_end<is_behind>(text, end) : at;
}

// 's|'t|'re|'ve|'m|'ll|'d, in small letters alone
size_t match_contraction(Text text, size_t at) {
  for (const Text ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (from(text, at).starts_with(ending)) return at + ending.size();
  }
  return at;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)   Of all other characters, the long s alone is one of these letters in another case.
size_t match_any_contraction(Text text, size_t at) {
  if (at >= text.size() || text[at] != '\'') return at;
  const auto letter = [&](size_t i) { return i < text.size() ? text[i] | 0x20 : 0; };
  const int first = letter(at + 1), second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
    return at + 3;
  return from(text, at + 1).starts_with("\xc5\xbf") ? at + 3 : at;
}

// ---- GPT-2:  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

size_t split_gpt2(Text text) {
  size_t end = match_contraction(text, 0);
  if (end == 0) end = match_spaced_run<is_letter>(text, 0);
  if (end == 0) end = match_spaced_run<is_number>(text, 0);
  if (end == 0) end = match_spaced_run<is_rest>(text, 0);
  return end > 0 ? end : match_space(text, 0);
}

// ---- Numbers:  \p{N}  and  \p{N}{1,3}

template <size_t most>
size_t match_number(Text text, size_t at) {
  return run_end<is_number>(text, at, most);
}

// ---- Llama 3 (three digits), Qwen 2 (one):
// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+

// [^\r\n\p{L}\p{N}]?\p{L}+
size_t match_led_letters(Text text, size_t at) {
  const Character first = character_at(text, at);
  const bool leads = first.bytes > 0 && !first.is_line_end() && !first.is(kLetter | kNumber);
  const size_t start = leads ? at + first.bytes : at, end = run_end<is_letter>(text, start);
  return end > start ? end : at;
}

template <size_t most_digits>
size_t split_llama3(Text text) {
  size_t end = match_any_contraction(text, 0);
  if (end == 0) end = match_led_letters(text, 0);
  if (end == 0) end = match_number<most_digits>(text, 0);
  if (end == 0) end = match_spaced_run_and<is_rest, is_line_end>(text, 0);
  return end > 0 ? end : match_lines_or_space(text, 0);
}

// ---- DeepSeek LLM and V2:  [\r\n]  \s?[cased letters]+  \s?[signs]+  \s+$  [CJK]+  and every number character

struct CodeRange {
  uint32_t first, last;
};

// The letters that have a case, as the pattern lists them.
constexpr CodeRange kCased[] = {
    {0x41, 0x5a},       {0x61, 0x7a},       {0xb5, 0xb5},       {0xc0, 0xd6},       {0xd8, 0xf6},
    {0xf8, 0x1ba},      {0x1bc, 0x1bf},     {0x1c4, 0x293},     {0x295, 0x2af},     {0x370, 0x373},
    {0x376, 0x377},     {0x37b, 0x37d},     {0x37f, 0x37f},     {0x386, 0x386},     {0x388, 0x38a},
    {0x38c, 0x38c},     {0x38e, 0x3a1},     {0x3a3, 0x3f5},     {0x3f7, 0x481},     {0x48a, 0x52f},
    {0x531, 0x556},     {0x10a0, 0x10c5},   {0x13a0, 0x13f5},   {0x13f8, 0x13fd},   {0x1c90, 0x1cba},
    {0x1cbd, 0x1cbf},   {0x1d00, 0x1d2b},   {0x1d6b, 0x1d77},   {0x1d79, 0x1d9a},   {0x1e00, 0x1f15},
    {0x1f18, 0x1f1d},   {0x1f20, 0x1f45},   {0x1f48, 0x1f4d},   {0x1f50, 0x1f57},   {0x1f59, 0x1f59},
    {0x1f5b, 0x1f5b},   {0x1f5d, 0x1f5d},   {0x1f5f, 0x1f7d},   {0x1f80, 0x1fb4},   {0x1fb6, 0x1fbc},
    {0x1fbe, 0x1fbe},   {0x1fc2, 0x1fc4},   {0x1fc6, 0x1fcc},   {0x1fd0, 0x1fd3},   {0x1fd6, 0x1fdb},
    {0x1fe0, 0x1fec},   {0x1ff2, 0x1ff4},   {0x1ff6, 0x1ffc},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210a, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211d},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212a, 0x212d},   {0x212f, 0x2134},   {0x2139, 0x2139},   {0x213c, 0x213f},
    {0x2145, 0x2149},   {0x214e, 0x214e},   {0x2183, 0x2184},   {0x2c00, 0x2c7b},   {0x2c7e, 0x2ce4},
    {0x2ceb, 0x2cee},   {0x2cf2, 0x2cf3},   {0xa640, 0xa66d},   {0xa680, 0xa69b},   {0xa722, 0xa76f},
    {0xa771, 0xa787},   {0xa78b, 0xa78e},   {0xab70, 0xabbf},   {0xfb00, 0xfb06},   {0xfb13, 0xfb17},
    {0xff21, 0xff3a},   {0xff41, 0xff5a},   {0x10400, 0x1044f}, {0x104b0, 0x104d3}, {0x104d8, 0x104fb},
    {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2}, {0x118a0, 0x118df}, {0x1e900, 0x1e943}};

bool is_cased(const Character& c) {
  for (const CodeRange& range : kCased) {
    if (c.code <= range.last) return c.code >= range.first;
  }
  return false;
}

constexpr bool is_within(const Character& c, uint32_t first, uint32_t last) {
  return c.code >= first && c.code <= last;
}

// [!-/:-~ and their full-width forms, U+2018-U+201F, U+3000-U+3002]
bool is_sign(const Character& c) {
  return is_within(c, '!', '/') || is_within(c, ':', '~') || is_within(c, 0xff01, 0xff0f) ||
         is_within(c, 0xff1a, 0xff5e) || is_within(c, 0x2018, 0x201f) || is_within(c, 0x3000, 0x3002);
}

// U+4E00-U+9FA5, U+0800-U+4E00, U+AC00-U+D7FF
bool is_wide(const Character& c) { return is_within(c, 0x800, 0x9fa5) || is_within(c, 0xac00, 0xd7ff); }

size_t match_line_end(Text text, size_t at) { return run_end<is_line_end>(text, at, 1); }

// \s?X+
template <IsIn is_in>
size_t match_led_run(Text text, size_t at) {
  const Character first = character_at(text, at);
  if (!first.is(kSpace)) return run_end<is_in>(text, at);
  const size_t start = at + first.bytes, end = run_end<is_in>(text, start);
  return end > start ? end : run_end<is_in>(text, at);  // a space may be in the set itself
}

template <IsIn is_in>
size_t match_run(Text text, size_t at) {
  return run_end<is_in>(text, at);
}

// \s+$   The step before has put line ends into pieces of their own.
size_t split_last_space(Text text) {
  size_t start = 0;  // of the white space at the end
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    at += c.bytes;
    if (!c.is(kSpace)) start = at;
  }
  return start > 0 ? start : text.size();
}

// ---- DeepSeek-V3:  \p{N}{1,3}  [CJK]+  and
// [ASCII punctuation][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+

bool is_letter_or_mark(const Character& c) { return c.is(kLetter | kMark); }
bool is_punctuation_or_symbol(const Character& c) { return c.is(kPunctuation | kSymbol); }
bool is_ascii_letter(const Character& c) { return c.code < 0x80 && c.is(kLetter); }

// U+4E00-U+9FA5, U+3040-U+309F, U+30A0-U+30FF
bool is_chinese_or_kana(const Character& c) { return is_within(c, 0x4e00, 0x9fa5) || is_within(c, 0x3040, 0x30ff); }

size_t match_deepseek3(Text text, size_t at) {
  const Character first = character_at(text, at);
  if (first.code < 0x80 && first.is(kPunctuation | kSymbol)) {
    const size_t end = run_end<is_ascii_letter>(text, at + 1);
    if (end > at + 1) return end;
  }
  if (!first.is_line_end() && !first.is(kLetter | kPunctuation | kSymbol)) {
    const size_t start = at + first.bytes, end = run_end<is_letter_or_mark>(text, start);
    if (end > start) return end;
  }
  size_t end = run_end<is_letter_or_mark>(text, at);
  if (end == at) end = match_spaced_run_and<is_punctuation_or_symbol, is_line_end>(text, at);
  return end > at ? end : match_lines_or_space(text, at);
}

// ---- Youtu:  [Hangul]+|[Chinese punctuation]+|[Bopomofo]+|[CJK]+  and the words below, one digit, [\r\n/]* after
// signs.
// ---- Kimi-K2:  [\p{Han}]+ first, words without Han, up to three digits, [\r\n]* after signs.
// X?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+C?
// |X?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*C?
// |\p{N}{1,n}| ?[^\s\p{L}\p{N}]+Y*|\s*[\r\n]+|\s+(?!\S)|\s+   where X is [^\r\n\p{L}\p{N}]
// and C a contraction in any case

bool is_hangul(const Character& c) { return is_within(c, 0xac00, 0xd7a3) || is_within(c, 0x3131, 0x318e); }
bool is_bopomofo(const Character& c) { return is_within(c, 0x3105, 0x312f); }
bool is_chinese_sign(const Character& c) {
  switch (c.code) {
    case 0xff01:
    case 0x2026:
    case 0x201c:
    case 0x201d:
    case 0x2018:
    case 0x2019:
    case 0x2014:
    case 0xff1a:
    case 0xff1b:
    case 0xff0c: return true;
    default: return is_within(c, 0x3001, 0x303f) || is_within(c, 0xfe30, 0xfe4f);
  }
}
bool is_han(const Character& c) { return c.is(kHan); }
bool is_line_end_or_slash(const Character& c) { return c.is_line_end() || c.code == '/'; }

size_t match_scripts(Text text, size_t at) {
  size_t end = run_end<is_hangul>(text, at);
  if (end == at) end = run_end<is_chinese_sign>(text, at);
  if (end == at) end = run_end<is_bopomofo>(text, at);
  return end > at ? end : run_end<is_chinese_or_kana>(text, at);
}

enum class Han : uint8_t { in_words, apart };

template <Han han>
struct Words {
  static bool is_head(const Character& c) { return c.is(kUpper | kCaseless | kMark) && !is_excluded(c); }
  static bool is_tail(const Character& c) { return c.is(kLower | kCaseless | kMark) && !is_excluded(c); }

  // The first of the two, without X and C: a head, and a tail of at least one character, which may be the head's last
  // ones.
  static size_t match_with_tail(Text text, size_t at) {
    size_t end = at, after_tail = at;
    for (Character c = character_at(text, end); is_head(c); c = character_at(text, end)) {
      end += c.bytes;
      if (is_tail(c)) after_tail = end;
    }
    const size_t tail_end = run_end<is_tail>(text, end);
    return tail_end > end ? tail_end : after_tail;
  }
  static size_t match_with_head(Text text, size_t at) {
    const size_t end = run_end<is_head>(text, at);
    return end > at ? run_end<is_tail>(text, end) : at;
  }
  static size_t match(Text text, size_t at) {
    const Character first = character_at(text, at);
    const bool leads = first.bytes > 0 && !first.is_line_end() && !first.is(kLetter | kNumber);
    for (const Match one : {match_with_tail, match_with_head}) {
      for (const size_t start : {leads ? at + first.bytes : at, at}) {
        const size_t end = one(text, start);
        if (end > start) return match_any_contraction(text, end);
      }
    }
    return at;
  }

 private:
  static bool is_excluded(const Character& c) { return han == Han::apart && c.is(kHan); }
};

template <Han han, size_t most_digits, IsIn is_behind_signs>
size_t split_words(Text text) {
  size_t end = han == Han::apart ? run_end<is_han>(text, 0) : 0;
  if (end == 0) end = Words<han>::match(text, 0);
  if (end == 0) end = match_number<most_digits>(text, 0);
  if (end == 0) end = match_spaced_run_and<is_rest, is_behind_signs>(text, 0);
  return end > 0 ? end : match_lines_or_space(text, 0);
}

// ---- The table

constexpr SplitStep kEachNumber = isolate<match_number<1>>, kThreeNumbers = isolate<match_number<3>>,
                    kEachLineEnd = isolate<match_line_end>, kWide = isolate<match_run<is_wide>>;

constexpr PreTokenizer kPreTokenizers[] = {
    {"gpt-2", false, {split_gpt2}},
    {"smollm", false, {kEachNumber, split_gpt2}},
    {"llama-bpe", true, {split_llama3<3>}},
    {"llama3", true, {split_llama3<3>}},
    {"llama-v3", true, {split_llama3<3>}},
    {"qwen2", false, {split_llama3<1>}},
    {"deepseek-r1-qwen", false, {split_llama3<1>}},
    {"glm4", true, {split_llama3<3>}},
    {"deepseek-llm",
     false,
     {kEachLineEnd, isolate<match_led_run<is_cased>>, isolate<match_led_run<is_sign>>, split_last_space, kWide,
      kEachNumber}},
    {"deepseek-coder",
     false,
     {kEachLineEnd, isolate<match_led_run<is_letter>>, isolate<match_led_run<is_punctuation>>, kWide, kEachNumber}},
    {"deepseek-v3", false, {kThreeNumbers, isolate<match_run<is_chinese_or_kana>>, isolate<match_deepseek3>}},
    {"youtu", true, {isolate<match_scripts>, split_words<Han::in_words, 1, is_line_end_or_slash>}},
    {"kimi-k2", true, {split_words<Han::apart, 3, is_line_end>}},
};

}  // namespace

const PreTokenizer* find_pre_tokenizer(std::string_view name) {
  for (const PreTokenizer& one : kPreTokenizers) {
    if (name == one.name) return &one;
  }
  return nullptr;
}

bool Pieces::next(std::string_view* piece) {
  if (at_ == text_.size()) return false;
  size_t end = text_.size();
  for (int step = 0; step < kMaxSplitSteps && by_.steps[step] != nullptr; ++step) {
    if (ends_[step] == at_) ends_[step] = at_ + by_.steps[step](from(text_, at_, end - at_));
    end = ends_[step];
  }
  *piece = from(text_, at_, end - at_);
  at_ = end;
  return true;
}

}  // namespace pith::internal
