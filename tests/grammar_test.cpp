// Grammars in GBNF: masks against all texts of small random languages, recursion, limits, refusals.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

#include "grammar_testing.h"

using namespace pith::test;

namespace {

// A random expression as GBNF, and all of its texts: joined, repeated and united as sets, which shares nothing with automata.
struct Expression {
  std::string gbnf;
  std::set<std::string> texts;
};

class RandomGrammar {
 public:
  static constexpr size_t kMaxTexts = 400;
  explicit RandomGrammar(std::mt19937_64* random) : random_(*random) {}

  // "root" and the rules that it calls.
  Expression make() {
    rules_.clear();
    for (int i = 0; i < 3; ++i) {
      Expression rule = choice(2);
      text_ += "r" + std::to_string(i) + " ::= " + rule.gbnf + "\n";
      rules_.push_back(std::move(rule));
    }
    Expression root = choice(3);
    return {"# texts\n" + text_ + "root ::= " + root.gbnf + "\n", root.texts};
  }

 private:
  size_t below(size_t n) { return size_t(random_() % n); }

  Expression choice(int depth) {
    Expression out = sequence(depth);
    for (size_t n = below(3); n > 0 && out.texts.size() < kMaxTexts; --n) {
      const Expression other = sequence(depth);
      out.gbnf += " | " + other.gbnf;
      out.texts.insert(other.texts.begin(), other.texts.end());
    }
    return out;
  }
  Expression sequence(int depth) {
    Expression out{"", {""}};
    for (size_t n = below(4); n > 0; --n) {
      const Expression next = repeated(depth);
      if (out.texts.size() * next.texts.size() > kMaxTexts) continue;
      out.gbnf += " " + next.gbnf;
      out.texts = joined(out.texts, next.texts);
    }
    if (out.gbnf.empty()) out.gbnf = "\"\"";  // at its end, nothing would go on with the next line
    return out;
  }
  static std::set<std::string> joined(const std::set<std::string>& a, const std::set<std::string>& b) {
    std::set<std::string> out;
    for (const std::string& x : a) {
      for (const std::string& y : b) out.insert(x + y);
    }
    return out;
  }
  Expression repeated(int depth) {
    Expression one = atom(depth);
    if (below(3) != 0) return one;
    const size_t least = below(3), most = least + below(3);
    std::set<std::string> power = {""}, all;
    for (size_t i = 0; i <= most; ++i) {
      if (i >= least) all.insert(power.begin(), power.end());
      if (power.size() * one.texts.size() > kMaxTexts) return one;
      power = joined(power, one.texts);
    }
    if (least == 0 && most == 1) return {one.gbnf + "?", all};
    if (least == most) return {one.gbnf + "{" + std::to_string(least) + "}", all};
    return {one.gbnf + "{" + std::to_string(least) + "," + std::to_string(most) + "}", all};
  }
  Expression atom(int depth) {
    static const std::vector<std::string> kCharacters = {
        "a", "b", "\"", "\xc3\xa9", "\xc3\xaa", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    switch (below(depth > 0 ? 5 : 2)) {
      case 0: {
        std::string gbnf, text;
        for (size_t n = below(3); n > 0; --n) {
          const std::string c = kCharacters[below(kCharacters.size())];
          gbnf += (c == "\"" ? "\\" : "") + c;
          text += c;
        }
        return {"\"" + gbnf + "\"", {text}};
      }
      case 1: {
        std::string gbnf;
        std::set<std::string> texts;
        for (size_t n = 1 + below(3); n > 0; --n) {
          const std::string c = kCharacters[below(kCharacters.size())];
          gbnf += c;
          texts.insert(c);
        }
        if (below(3) == 0) {  // a range over the bound between one byte and two
          gbnf += "~-\xc2\x81";
          texts.insert({"~", "\x7f", "\xc2\x80", "\xc2\x81"});
        }
        return {"[" + gbnf + "]", texts};
      }
      case 2:
        if (!rules_.empty()) {
          const size_t i = below(rules_.size());
          return {"r" + std::to_string(i), rules_[i].texts};
        }
        [[fallthrough]];
      default: {
        const Expression inner = choice(depth - 1);
        return {"(" + inner.gbnf + ")", inner.texts};
      }
    }
  }

  std::mt19937_64& random_;
  std::vector<Expression> rules_;
  std::string text_;
};

// Pieces of these texts, cut anywhere, and others.
std::vector<std::string> random_words(const std::set<std::string>& texts, std::mt19937_64* random) {
  std::set<std::string> words;
  const std::vector<std::string> list(texts.begin(), texts.end());
  for (int i = 0; i < 60; ++i) {
    const std::string& text = list[size_t((*random)() % list.size())];
    if (text.size() < 2) continue;
    const size_t first = size_t((*random)() % (text.size() - 1)), n = 2 + size_t((*random)() % 4);
    std::string word = text.substr(first, n);
    if ((*random)() % 4 == 0) word += char((*random)());
    if (word.size() > 1) words.insert(word);
  }
  return {words.begin(), words.end()};
}

size_t count(const std::vector<bool>& mask) { return size_t(std::count(mask.begin(), mask.end(), true)); }

}  // namespace

TEST_CASE("grammar: masks are exact, against all texts of random languages") {
  const uint64_t seed = 21;
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  size_t n_masks = 0, n_ends = 0;
  for (int round = 0; round < 150; ++round) {
    const Expression root = RandomGrammar(&random).make();
    std::set<std::string> prefixes;
    for (const std::string& text : root.texts) {
      for (size_t n = 0; n <= text.size(); ++n) prefixes.insert(text.substr(0, n));
    }
    CAPTURE(root.gbnf);
    const Compiled grammar(PITH_GRAMMAR_GBNF, root.gbnf);
    REQUIRE_MESSAGE(grammar.status == PITH_OK, grammar.error.message);
    const Words words(random_words(root.texts, &random));
    Matching matching(grammar, words);
    for (int walk = 0; walk < 4; ++walk) {
      REQUIRE(int(pith_matcher_reset(matching.matcher, nullptr)) == int(PITH_OK));
      std::string text;
      for (;;) {
        CAPTURE(text);
        const std::vector<bool> mask = matching.mask();
        ++n_masks;
        REQUIRE(mask[0] == (root.texts.count(text) != 0));
        std::vector<int32_t> allowed;
        for (int32_t token = 0; token < words.n_tokens(); ++token) {
          if (token > 0) REQUIRE(mask[size_t(token)] == (prefixes.count(text + words.text(token)) != 0));
          if (mask[size_t(token)]) allowed.push_back(token);
        }
        REQUIRE(!allowed.empty());
        REQUIRE((pith_matcher_is_done(matching.matcher) == 1) == (allowed == std::vector<int32_t>{0}));
        const int32_t refused = int32_t(random() % uint64_t(words.n_tokens()));
        if (!mask[size_t(refused)]) REQUIRE(int(matching.accept(refused)) == int(PITH_E_TOKEN));  // and changes nothing
        const int32_t next = allowed[size_t(random() % allowed.size())];
        REQUIRE(int(matching.accept(next)) == int(PITH_OK));
        if (next == 0) break;
        text += words.text(next);
      }
      ++n_ends;
      REQUIRE(root.texts.count(text) == 1);
    }
  }
  CHECK(n_masks > 1000);
  CHECK(n_ends == 600);
}

TEST_CASE("grammar: recursion, to the depth that is held") {
  const Compiled grammar(PITH_GRAMMAR_GBNF, "root ::= (\"(\" root \")\")*");
  const Words words({"((", "))", "()", ")("});
  Matching matching(grammar, words);
  const auto token = [](char c) { return size_t(1 + c); };
  for (int depth = 0; depth < 512; ++depth) {
    REQUIRE(matching.mask()[token('(')]);
    REQUIRE(int(matching.accept(int32_t(token('(')))) == int(PITH_OK));
  }
  const std::vector<bool> deepest = matching.mask();  // the root's own calls are the first: 512 frames are open
  CHECK(!deepest[token('(')]);
  CHECK(deepest[token(')')]);
  CHECK(deepest[258]);   // "))"
  CHECK(!deepest[257]);  // "(("
  CHECK(deepest[260]);   // ")("
  CHECK(!deepest[0]);
  for (int depth = 512; depth > 0; --depth) REQUIRE(int(matching.accept(int32_t(token(')')))) == int(PITH_OK));
  CHECK(pith_matcher_may_end(matching.matcher) == 1);
  CHECK(pith_matcher_is_done(matching.matcher) == 0);
  CHECK(!matching.mask()[token(')')]);
}

TEST_CASE("grammar: what is recursive at its end needs no depth, and a long text no room") {
  const Compiled grammar(PITH_GRAMMAR_GBNF, "root ::= item root | \"\\n\"\nitem ::= [a-z] \",\"");
  const Words words;
  Matching matching(grammar, words);
  for (int i = 0; i < 5000; ++i) REQUIRE(matching.accept_text("x,") == 2);
  CHECK(matching.accept_text("\n") == 1);
  CHECK(pith_matcher_is_done(matching.matcher) == 1);
}

TEST_CASE("grammar: states that are thrown away are found again") {
  // More states than are kept: every count of characters is one, and one within each character of two bytes.
  const Compiled grammar(PITH_GRAMMAR_GBNF, "root ::= [a\xc3\xa9]{3000} \"!\"");
  const Words words({"aa", "\xc3\xa9\xc3\xa9", "a\xc3", "!a"});
  Matching matching(grammar, words), other(grammar, words);
  size_t n = 0;
  std::mt19937_64 random(4);
  while (n < 3000) {
    if (n % 50 == 0) {
      const std::vector<bool> mask = matching.mask();
      REQUIRE(count(mask) == (n + 2 <= 3000 ? 5 : 3));  // "a", the two first bytes, ...; of two characters
      REQUIRE(int(pith_matcher_copy(other.matcher, matching.matcher, nullptr)) == int(PITH_OK));
      REQUIRE(other.mask() == mask);
    }
    const bool is_long = random() % 2 == 0;
    REQUIRE(matching.accept_text(is_long ? "\xc3\xa9" : "a") == (is_long ? 2 : 1));
    ++n;
  }
  REQUIRE(count(matching.mask()) == 1);
  CHECK(matching.accept_text("!") == 1);
  CHECK(pith_matcher_is_done(matching.matcher) == 1);
  // The copy stayed where it was.
  CHECK(other.accept_text("a") == 1);
}

TEST_CASE("grammar: more ways than can be followed are a limit, and the text is as it was") {
  const Compiled grammar(PITH_GRAMMAR_GBNF, "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"d\"");
  const Words words;
  Matching matching(grammar, words);
  pith_status status = PITH_OK;
  size_t n = 0;
  while (n < 100 && status == PITH_OK) {
    status = matching.accept(1 + 'a');
    if (status == PITH_OK) ++n;
  }
  CHECK(int(status) == int(PITH_E_LIMIT));
  CHECK(n >= 8);
  refuses(PITH_E_LIMIT, "ambiguous",
          [&](pith_error* error) { return pith_matcher_accept(matching.matcher, 1 + 'a', error); });
  CHECK(matching.accept_text("d" + std::string(n, 'b')) == n + 1);
  CHECK(pith_matcher_is_done(matching.matcher) == 1);
}

TEST_CASE("grammar: a vocabulary that cannot spell the text, or end it") {
  RawVocabulary vocabulary;
  for (std::string& token : vocabulary.tokens) {
    if (token == "q") token = "qqqqq";
  }
  vocabulary.types[0] = 1;  // no token ends a text
  vocabulary.tokens[0] = "end";
  const Words words(vocabulary);
  pith_status status = PITH_OK;
  Matching spelling(PITH_GRAMMAR_GBNF, "root ::= \"aq\"", words);
  REQUIRE(spelling.accept_text("a") == 1);
  (void)spelling.mask(&status);
  CHECK(int(status) == int(PITH_E_NO_TOKEN));
  Matching ending(PITH_GRAMMAR_GBNF, "root ::= \"a\"", words);
  CHECK(count(ending.mask(&status)) == 1);
  REQUIRE(ending.accept_text("a") == 1);
  CHECK(pith_matcher_is_done(ending.matcher) == 1);
  (void)ending.mask(&status);
  CHECK(int(status) == int(PITH_E_NO_TOKEN));
}

TEST_CASE("grammar: special tokens are no text, and a text ends once") {
  RawVocabulary vocabulary({"<|mark|>", "ab"});
  vocabulary.types[257] = 3;
  const Words words(vocabulary);
  Matching matching(PITH_GRAMMAR_GBNF, "root ::= .*", words);
  const std::vector<bool> mask = matching.mask();
  CHECK(mask[0]);
  CHECK(!mask[257]);
  CHECK(mask[258]);
  CHECK(int(matching.accept(257)) == int(PITH_E_TOKEN));
  CHECK(int(matching.accept(259)) == int(PITH_E_ARGUMENT));
  CHECK(int(matching.accept(-1)) == int(PITH_E_ARGUMENT));
  CHECK(int(matching.accept(0)) == int(PITH_OK));
  CHECK(pith_matcher_is_done(matching.matcher) == 1);
  CHECK(pith_matcher_may_end(matching.matcher) == 0);
  CHECK(int(matching.accept(258)) == int(PITH_E_STATE));
  pith_status status = PITH_OK;
  (void)matching.mask(&status);
  CHECK(int(status) == int(PITH_E_STATE));
}

TEST_CASE("grammar: notation") {
  const Words words;
  const auto fits = [&](const char* gbnf, std::string_view text) {
    CAPTURE(gbnf);
    return Matching(PITH_GRAMMAR_GBNF, gbnf, words).fits(text);
  };
  CHECK(fits("root ::= \"\\x41\\u00e9\\U0001F600\\n\\t\\r\\\\\\\"\"", "A\xc3\xa9\xf0\x9f\x98\x80\n\t\r\\\""));
  CHECK(fits("root ::= [^a-c\\]]+", "d-[\xe2\x82\xac"));
  CHECK(!fits("root ::= [^a-c\\]]+", "b"));
  CHECK(!fits("root ::= [^a-c\\]]+", "]"));
  CHECK(fits("root ::= [a-]+", "a-a"));
  CHECK(fits("root ::= .", "\xf0\x9f\x98\x80"));
  CHECK(!fits("root ::= .", "\xf0\x9f\x98"));
  CHECK(!fits("root ::= .", "\xed\xa0\x80"));  // a surrogate
  CHECK(!fits("root ::= .", "\xc0\x80"));      // longer than need be
  CHECK(fits("root ::= .", std::string_view("\0", 1)));
  CHECK(fits("# first\nroot ::= (  # a group\n \"a\"\n | b )+ # end\n\nb ::=\n \"b\" |\n \"c\"\n | \"d\"\n", "abcd"));
  CHECK(fits("root ::= \"ab\"{2}", "abab"));
  CHECK(fits("root ::= \"ab\"{2,}", "ababab"));
  CHECK(!fits("root ::= \"ab\"{2,}", "ab"));
  CHECK(fits("root ::= (\"a\"?)*\"b\"{0}", "aaa"));
  CHECK(fits("root ::= \"a\"?*", ""));
  CHECK(fits("root ::= |\"a\"", ""));
}

TEST_CASE("grammar: what is refused, by its line") {
  struct Case {
    const char *gbnf, *words;
    pith_status status = PITH_E_GRAMMAR;
  };
  const Case cases[] = {
      {"root ::= a\n\na ::= b\n", "line 3: rule \"b\" is used and not defined"},
      {"a ::= \"x\"\n", "\"root\" is used and not defined"},
      {"", "\"root\""},
      {"root ::= \"a\n\"", "line 1: a literal or class does not end"},
      {"root ::= [a", "line 1: a literal or class does not end"},
      {"root ::= []", "no characters"},
      {"root ::= [z-a]", "comes before"},
      {"root ::= (\"a\"\n", "lacks its \")\""},
      {"root ::= \"a\")", "closes no group"},
      {"root ::= *", "nothing stands before"},
      {"root ::= \"a\" | {2}", "nothing stands before"},
      {"root ::= \"a\"{2", "lacks its \"}\""},
      {"root ::= \"a\"{3,2}", "at least 3 and at most 2"},
      {"root ::= \"a\"{,2}", "needs a number"},
      {"root ::= \"a\"{99999999}", "more than 1048576"},
      {"root ::= \"\\q\"", "escape"},
      {"root ::= \"\\xZZ\"", "hexadecimal"},
      {"root ::= \"\\uD800\"", "no character"},
      {"root ::= \"\xff\"", "not UTF-8"},
      {"root : \"a\"", "\"::=\" must follow"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2: rule \"root\" is defined twice"},
      {"root ::= $", "not understood"},
      {"root ::= <think>", "tokens by number or name", PITH_E_UNSUPPORTED},
      {"root ::= root \"a\" | \"b\"", "rule \"root\" calls itself before"},
      {"root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a \"y\" | \"z\"", "left recursion"},
      {"root ::= a\na ::= \"x\" a", "no text fits rule \"root\""},
      {"root ::= (\"a\"{1000}){1000}", "max_states", PITH_E_LIMIT},
  };
  for (const Case& c : cases) {
    CAPTURE(c.gbnf);
    const Compiled grammar(PITH_GRAMMAR_GBNF, c.gbnf);
    CHECK(int(grammar.status) == int(c.status));
    CHECK_MESSAGE(std::string(grammar.error.message).find(c.words) != std::string::npos, grammar.error.message);
  }
  std::string deep = "root ::= ";
  for (int i = 0; i < 100; ++i) deep += "(";
  CHECK(int(Compiled(PITH_GRAMMAR_GBNF, deep).status) == int(PITH_E_GRAMMAR));
  // Of a rule that never ends, the other ways stay.
  const Words words;
  Matching matching(PITH_GRAMMAR_GBNF, "root ::= \"a\" a | \"ab\"\na ::= \"x\" a", words);
  CHECK(matching.accept_text("a") == 1);
  CHECK(count(matching.mask()) == 1);
}

TEST_CASE("grammar: arguments") {
  const Words words;
  const Compiled grammar(PITH_GRAMMAR_GBNF, "root ::= \"a\""), same(PITH_GRAMMAR_GBNF, "root ::= \"a\"");
  Matching matching(grammar, words), other(same, words);
  float logit = 0;
  size_t bytes = 0;
  pith_grammar_source source = source_of(PITH_GRAMMAR_GBNF, "root ::= \"a\"");
  const auto bytes_of = [&](pith_error* error) { return pith_grammar_bytes(&source, &bytes, error); };
  CHECK(int(bytes_of(nullptr)) == int(PITH_OK));
  refuses(PITH_E_ARGUMENT, "source", [&](pith_error* e) { return pith_grammar_bytes(nullptr, &bytes, e); });
  refuses(PITH_E_ARGUMENT, "out_bytes", [&](pith_error* e) { return pith_grammar_bytes(&source, nullptr, e); });
  source.kind = 2;
  refuses(PITH_E_ARGUMENT, "kind", bytes_of);
  source.kind = 0;
  source.max_states = 1023;
  refuses(PITH_E_ARGUMENT, "max_states", bytes_of);
  source.max_states = (1u << 20) + 1;
  refuses(PITH_E_ARGUMENT, "max_states", bytes_of);
  source.max_states = 0;
  source.reserved = 1;
  refuses(PITH_E_ABI, "reserved", bytes_of);
  source.reserved = 0;
  source.text_bytes = (1u << 20) + 1;
  refuses(PITH_E_LIMIT, "text_bytes", bytes_of);
  source.text = nullptr;
  refuses(PITH_E_ARGUMENT, "text", bytes_of);
  source.struct_size = 4;
  refuses(PITH_E_ABI, "struct_size", bytes_of);
  source = source_of(PITH_GRAMMAR_GBNF, "root ::= \"a\"");
  REQUIRE(int(bytes_of(nullptr)) == int(PITH_OK));
  const Block memory = block_of(bytes);
  pith_grammar* made = nullptr;
  refuses(PITH_E_MEMORY, "grammar",
          [&](pith_error* e) { return pith_grammar_init(&source, memory.get(), bytes - 1, &made, e); });
  refuses(PITH_E_ARGUMENT, "out_grammar",
          [&](pith_error* e) { return pith_grammar_init(&source, memory.get(), bytes, nullptr, e); });
  refuses(PITH_E_ARGUMENT, "tokenizer", [&](pith_error* e) { return pith_token_trie_bytes(nullptr, &bytes, e); });
  pith_token_trie* trie = nullptr;
  refuses(PITH_E_MEMORY, "token trie",
          [&](pith_error* e) { return pith_token_trie_init(words.tokenizer(), memory.get(), 64, &trie, e); });
  refuses(PITH_E_ARGUMENT, "trie",
          [&](pith_error* e) { return pith_matcher_bytes(grammar.grammar, nullptr, &bytes, e); });
  pith_matcher* matcher = nullptr;
  refuses(PITH_E_MEMORY, "matcher",
          [&](pith_error* e) { return pith_matcher_init(grammar.grammar, words.trie, memory.get(), 64, &matcher, e); });
  refuses(PITH_E_ARGUMENT, "matcher", [&](pith_error* e) { return pith_matcher_reset(nullptr, e); });
  refuses(PITH_E_ARGUMENT, "out_logits",
          [&](pith_error* e) { return pith_matcher_mask(matching.matcher, &logit, nullptr, e); });
  refuses(PITH_E_ARGUMENT, "matcher", [&](pith_error* e) { return pith_matcher_accept(nullptr, 0, e); });
  refuses(PITH_E_ARGUMENT, "to",
          [&](pith_error* e) { return pith_matcher_copy(matching.matcher, matching.matcher, e); });
  refuses(PITH_E_ARGUMENT, "another grammar",
          [&](pith_error* e) { return pith_matcher_copy(matching.matcher, other.matcher, e); });
  refuses(PITH_E_ARGUMENT, "source",
          [&](pith_error* e) { return pith_grammar_init(nullptr, memory.get(), bytes, &made, e); });
  refuses(PITH_E_ARGUMENT, "tokenizer",
          [&](pith_error* e) { return pith_token_trie_init(nullptr, memory.get(), bytes, &trie, e); });
  refuses(PITH_E_ARGUMENT, "trie",
          [&](pith_error* e) { return pith_matcher_init(grammar.grammar, nullptr, memory.get(), 64, &matcher, e); });
  refuses(PITH_E_ARGUMENT, "from", [&](pith_error* e) { return pith_matcher_copy(matching.matcher, nullptr, e); });
  CHECK(pith_matcher_may_end(nullptr) == 0);
  CHECK(pith_matcher_is_done(nullptr) == 0);
}
