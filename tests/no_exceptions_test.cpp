// pith.hpp in a program without exceptions: no_exceptions_test MODEL. The same file is compiled without them and with them.
#include <cstdio>
#include <cstring>
#include <string>

#include "pith/pith.hpp"

namespace {

int fail(const char* what) {
  std::fprintf(stderr, "no_exceptions_test: %s\n", what);
  return 1;
}

int run(const char* path) {
  using namespace pith;
  const Result<Model> absent = Model::try_open(std::string(path) + ".absent");
  if (absent || absent.error().status() != PITH_E_ARGUMENT) return fail("an absent file opens");
  const Result<Model> foreign = Model::try_view(path - reinterpret_cast<uintptr_t>(path) % PITH_ALIGNMENT, 3);
  if (foreign || std::string(foreign.error().message()).find("header") == std::string::npos) return fail("no header");
  Result<Model> model = Model::try_open(path);
  if (!model) return fail(model.error().message());
  const Result<pith_model_info> info = model->try_info();
  const Result<pith_metadata> name = model->try_find_metadata("general.name"), none = model->try_find_metadata("x");
  if (!info || !name || none || none.error().status() != PITH_E_MISSING) return fail("metadata");
  if (!model->try_metadata(0) || !model->try_tensor(0) || model->try_tensor(model->tensor_count()))
    return fail("lists");
  pith_session_options options = session_options();
  options.n_keep = 1u << 30;
  const Result<Session> refused = Session::create(*model, options);
  if (refused || std::string(refused.error().message()).find("n_keep") == std::string::npos) return fail("n_keep");
  Result<Session> session = Session::create(*model);
  Result<Tokenizer> tokenizer = Tokenizer::create(*model);
  Result<Sampler> sampler = Sampler::create(info->vocab_size);
  Result<TextStream> stream = TextStream::create({"never said"});
  if (!session || !tokenizer || !sampler || !stream) return fail("an object could not be made");
  if (TextStream::create({""})) return fail("an empty stop string");
  const Result<std::vector<int32_t>> tokens = tokenizer->try_encode("The fox");
  if (!tokens || !session->try_eval(*tokens) || session->try_eval(-1)) return fail("eval");
  for (int i = 0; i < 8; ++i) {
    const Result<int32_t> token = sampler->try_draw(session->logits());
    if (!token || !session->try_eval(*token)) return fail("draw");
    const Result<std::string_view> text = tokenizer->try_decode(*token);
    if (!text || !stream->try_push(*text)) return fail("text");
  }
  const auto state = session->try_save();
  const auto drawing = sampler->try_save();
  const auto shown = stream->try_save();
  if (!state || !drawing || !shown) return fail("save");
  if (!session->try_restore(*state) || !sampler->try_restore(*drawing) || !stream->try_restore(*shown))
    return fail("restore");
  if (session->try_restore({}) || sampler->try_restore(*state)) return fail("a wrong state is taken");
  Session moved = std::move(*session);
  if (!moved.try_rewind(1) || !moved.try_reset() || moved.position() != 0 || !moved.try_set_threads(1))
    return fail("rewind");
  if (moved.try_copy_from(moved) || !stream->try_finish() || !sampler->try_accept(1)) return fail("the rest");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
#ifdef PITH_WITHOUT_EXCEPTIONS
  static_assert(PITH_EXCEPTIONS == 0);
#else
  static_assert(PITH_EXCEPTIONS == 1);
  try {
    pith::Model::open("absent");
    return fail("an absent file opens");
  } catch (const pith::Error& error) {
    if (error.status() != PITH_E_ARGUMENT || std::strstr(error.what(), "absent") == nullptr) return fail(error.what());
  }
#endif
  return run(argv[1]);
}
