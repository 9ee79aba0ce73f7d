#include "opened_check.h"

namespace pith::cli {

std::string check_vocabulary(const Model& model) {
  const Result<Tokenizer> tokenizer = Tokenizer::create(model);
  if (tokenizer) return {};
  if (!model.try_find_metadata("tokenizer.ggml.model"))
    return "there is no vocabulary (key tokenizer.ggml.model): the model runs from token ids alone";
  const Failure& failure = tokenizer.error();
  if (failure.status() != PITH_E_UNSUPPORTED) throw Error(failure);
  return failure.message();
}

std::string check_model_file(const std::string& path) { return check_vocabulary(Model::open(path)); }

}  // namespace pith::cli
