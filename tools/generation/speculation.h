// Speculative decoding. Tokens that may come next are evaluated with the one that has come: the weights are read
// once for all of them. The logits after each are those of decoding one by one, to the bit, and the sampler draws from
// them in turn, so that a text is the same with and without, greedy or not; what was not drawn is taken back.
//
//     Speculation text(model, &session, capacity, Drafts::as_they_pay);
//     text.read(prompt);                                       // which the session has evaluated
//     while (...) {
//       const int32_t token = sampler.draw(text.logits());
//       if (!text.eval(token)) break;                          // cancelled
//     }
//     text.settle();
#ifndef PITH_GENERATION_SPECULATION_H
#define PITH_GENERATION_SPECULATION_H

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "pith/pith.hpp"
#include "prompt_lookup.h"

namespace pith {

enum class Drafts { none, as_they_pay, all };

// How many drafted tokens are worth their time: what a step takes, what each further token adds to it, and how often
// one was right, as this text has shown so far.
class Pay {
 public:
  static constexpr size_t kMaxDrafted = 6;  // with the token before them: pith_session_eval takes 7 steps together

  // Of a draft after n_matching tokens. What is not worth it now is tried again later.
  size_t n_worth(size_t n_matching);
  // An evaluation of n tokens took this long.
  void add_time(size_t n, double seconds);
  // Of n_drafted tokens after n_matching, the first n_accepted were drawn.
  void add_outcome(size_t n_matching, size_t n_drafted, size_t n_accepted);

 private:
  // The chance of a drafted token, before any was seen: by n_matching. Rough, and soon corrected.
  static constexpr std::array<double, PromptLookup::kLongest + 1> kFirstChance{0, 0, .4, .5, .6, .7, .7, .8, .8};

  double step_ = 0, further_ = 0;  // seconds; 0: not known yet
  std::array<double, kFirstChance.size()> chance_ = kFirstChance;
};

class Speculation {
 public:
  // `capacity`: of the session, which outlives this object. Once it is full nothing is drafted: what was overwritten
  // could not be taken back. Nothing is drafted for models with gate `up` either: they have nothing to share.
  Speculation(const Model& model, Session* session, uint64_t capacity, Drafts drafts);

  // Tokens that the text goes on with, and that the session has by other ways: what drafts are looked for in.
  void read(std::span<const int32_t> tokens);
  void forget();  // another text begins

  // Evaluates a token that was drawn. False: cancelled, and the text is as it was before.
  bool eval(int32_t token);

  // [vocab_size] after the last token.
  std::span<const float> logits() const { return n_ready_ == 0 ? session_.logits() : row(next_ - 1); }
  uint64_t position() const { return session_.position() - (n_ready_ - next_); }

  // Takes back what was not drawn: the session holds the text and nothing else, but may be without logits.
  void take_back();
  // The same, with logits: as decoding one by one leaves it. False: cancelled; the text then lacks its last token.
  bool settle();

  uint64_t n_drafted() const { return n_drafted_; }
  uint64_t n_accepted() const { return n_accepted_; }  // of these, drawn

 private:
  std::span<const float> row(size_t i) const { return std::span(rows_).subspan(i * vocab_size_, vocab_size_); }
  size_t draft();
  bool eval_steps(size_t n);

  Session& session_;
  Drafts drafts_;
  size_t vocab_size_;
  uint64_t capacity_;
  PromptLookup text_;
  Pay pay_;
  std::array<int32_t, Pay::kMaxDrafted + 1> steps_{};  // what was evaluated last: a token, and drafts
  std::vector<float> rows_;                            // [kMaxDrafted + 1, vocab_size]: logits after each
  size_t n_ready_ = 0, next_ = 0;                      // of these, how many, and the first that was not drawn yet
  size_t n_matching_ = 0;                              // of the draft
  uint64_t n_drafted_ = 0, n_accepted_ = 0;
};

}  // namespace pith

#endif
