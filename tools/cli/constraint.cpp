#include "constraint.h"

#include <stdexcept>

#include <fmt/core.h>

#include "drawing.h"
#include "options.h"

namespace pith::cli {

Constraint::Constraint(const ConstraintOptions& options, const Tokenizer& tokenizer) {
  if (!options.is_given()) return;
  const bool is_schema = !options.json_schema.empty();
  try {
    const std::string text = read_file(is_schema ? options.json_schema : options.grammar);
    form_ = std::make_unique<Form>(is_schema ? Grammar::json_schema(text) : Grammar::gbnf(text), tokenizer);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("option {}: {}", is_schema ? "--json-schema" : "--grammar", error.what()));
  }
}

void Constraint::reset() {
  if (form_ != nullptr) form_->matcher.reset();
}

int32_t Constraint::draw(Sampler* sampler, std::span<const float> logits) {
  return form_ == nullptr ? sampler->draw(logits) : pith::draw(sampler, logits, &form_->matcher, &form_->logits);
}

bool Constraint::is_done() const { return form_ != nullptr && form_->matcher.is_done(); }

bool Constraint::is_cut_off() const {
  return form_ != nullptr && !form_->matcher.may_end() && !form_->matcher.is_done();
}

}  // namespace pith::cli
