// Text that has a form: --grammar and --json-schema.
#ifndef PITH_CLI_CONSTRAINT_H
#define PITH_CLI_CONSTRAINT_H

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pith/pith.hpp"

namespace pith::cli {

struct ConstraintOptions {
  std::string grammar, json_schema;  // files; at most one of them
  bool is_given() const { return !grammar.empty() || !json_schema.empty(); }
};

// What is drawn fits the grammar, if there is one.
class Constraint {
 public:
  Constraint(const ConstraintOptions& options, const Tokenizer& tokenizer);

  void reset();  // a text begins
  int32_t draw(Sampler* sampler, std::span<const float> logits);
  bool is_done() const;     // nothing may follow
  bool is_cut_off() const;  // a text that ends here does not fit

 private:
  struct Form {
    Grammar grammar;
    TokenTrie trie;
    Matcher matcher;
    std::vector<float> logits;

    Form(Grammar compiled, const Tokenizer& tokenizer)
        : grammar(std::move(compiled)), trie(tokenizer), matcher(grammar, trie) {}
  };
  std::unique_ptr<Form> form_;  // NULL: any text
};

}  // namespace pith::cli

#endif
