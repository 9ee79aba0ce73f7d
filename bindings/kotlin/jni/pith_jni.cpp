// What Native.kt declares, each a few calls of pith.hpp. A handle is the address of an object of this file, made by openX
// and gone with closeX; Kotlin's classes see to it that none is used after that, and by one thread at a time but for
// `cancel`. Texts are bytes of UTF-8: JNI's own strings are another encoding.
#include <jni.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pith/pith.hpp>

namespace {

struct OpenModel {
  explicit OpenModel(pith::Model opened, pith::Memory read = {})
      : bytes(std::move(read)), model(std::move(opened)), tokenizer(model) {}
  pith::Memory bytes;  // of a model that is not mapped
  pith::Model model;
  pith::Tokenizer tokenizer;
};
using SharedModel = std::shared_ptr<const OpenModel>;  // a session keeps its model after closeModel

struct OpenSession {
  SharedModel model;
  std::optional<pith::Chat> chat;  // none: the file has no template, and none was named
  std::string system;
  std::optional<pith::Session> session;
  std::optional<pith::Sampler> sampler;
  // The text that begin began.
  pith::TextStream stream;
  bool is_answer = false;
  uint32_t tokens_left = 0;
  // pith_session_cancel alone would miss an evaluation that is about to begin: progress and next ask this as well.
  std::atomic<bool> is_cancelled{false};
};

std::string text_of(JNIEnv* env, jbyteArray bytes) {
  if (bytes == nullptr) return {};
  std::string out(size_t(env->GetArrayLength(bytes)), '\0');
  env->GetByteArrayRegion(bytes, 0, jsize(out.size()), reinterpret_cast<jbyte*>(out.data()));
  return out;
}

jbyteArray bytes_of(JNIEnv* env, const void* data, size_t n) {
  jbyteArray out = env->NewByteArray(jsize(n));  // null: OutOfMemoryError is on its way
  if (out != nullptr) env->SetByteArrayRegion(out, 0, jsize(n), static_cast<const jbyte*>(data));
  return out;
}

void throw_pith(JNIEnv* env, pith_status status, const char* message) {
  jclass type = env->FindClass("pith/PithException");
  if (type == nullptr) return;
  jmethodID make = env->GetMethodID(type, "<init>", "(I[B)V");
  jbyteArray sentence = bytes_of(env, message, std::strlen(message));
  if (make == nullptr || sentence == nullptr) return;
  env->Throw(static_cast<jthrowable>(env->NewObject(type, make, jint(status), sentence)));
}

// Runs `call`; what it throws becomes Kotlin's PithException, and `otherwise` the result, which nobody sees.
template <typename Call, typename Value>
Value guarded(JNIEnv* env, Value otherwise, const Call& call) {
  try {
    return call();
  } catch (const pith::Error& error) {
    throw_pith(env, error.status(), error.what());
  } catch (const std::bad_alloc&) {
    throw_pith(env, PITH_E_MEMORY, "memory: the heap has no more");
  }
  return otherwise;
}

OpenSession& session_at(jlong handle) { return *reinterpret_cast<OpenSession*>(handle); }

// Opens what `make` gives.
template <typename Make>
jlong open_model(JNIEnv* env, const Make& make) {
  return guarded(env, jlong(0), [&] { return reinterpret_cast<jlong>(new SharedModel(make())); });
}

// Bytes [offset, offset + n) of a file, at an address as the library needs it.
pith::Memory read_part(int descriptor, uint64_t offset, size_t n) {
  pith::Memory bytes(n);
  for (size_t at = 0; at < n;) {
    const ssize_t read = ::pread(descriptor, static_cast<char*>(bytes.data()) + at, n - at, off_t(offset + at));
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) {
      const std::string why = read < 0 ? std::strerror(errno) : "ends after " + std::to_string(offset + at) + " bytes";
      pith::throw_failure({PITH_E_ARGUMENT, "file of descriptor " + std::to_string(descriptor) + ": " + why});
    }
    at += size_t(read);
  }
  return bytes;
}

pith::Session make_session(OpenSession* of, uint32_t context, uint32_t threads) {
  pith_session_options options = pith::session_options();
  options.capacity = context;
  options.max_threads = threads == 0 ? pith::count_fast_cpus() : threads;
  options.progress_context = of;
  options.progress = [](void* progress_context, uint64_t, uint64_t) {
    OpenSession& session = *static_cast<OpenSession*>(progress_context);
    if (session.is_cancelled && session.session) session.session->cancel();
  };
  if (of->chat) {  // what a conversation begins with stays when the cache is full
    std::vector<pith::Message> first;
    if (!of->system.empty()) first.push_back({PITH_ROLE_SYSTEM, of->system});
    options.n_keep = uint32_t(of->chat->encode(first, 0).size());
  }
  return pith::Session(of->model->model, options);
}

// The tokens of a text that goes on, or of a question.
std::vector<int32_t> encode(const OpenSession& of, const std::string& text, bool is_question) {
  const bool is_first = of.session->position() == 0;
  if (!is_question)
    return of.model->tokenizer.encode(text, is_first ? uint32_t(PITH_ENCODE_DEFAULT) : uint32_t(PITH_ENCODE_NO_BOS));
  if (!of.chat)
    pith::throw_failure({PITH_E_MISSING, "template: the file has none; name one of pith's in SessionOptions"});
  std::vector<pith::Message> messages;
  if (is_first && !of.system.empty()) messages.push_back({PITH_ROLE_SYSTEM, of.system});
  messages.push_back({PITH_ROLE_USER, text});
  return of.chat->encode(messages, PITH_CHAT_ANSWER | (is_first ? 0u : uint32_t(PITH_CHAT_AFTER_ANSWER)));
}

// A prompt that was cancelled is taken back.
void eval_prompt(OpenSession* of, const std::vector<int32_t>& tokens) {
  const uint64_t start = of->session->position();
  const pith::Result<void> result = of->session->try_eval(tokens);
  if (result) return;
  if (result.error().status() == PITH_E_CANCELLED && !of->session->try_rewind(start)) of->session->reset();
  pith::throw_failure(result.error());
}

// The next bytes of the text, possibly none; no value at its end.
std::optional<std::string> next_text(OpenSession* of) {
  if (of->tokens_left == 0) return std::nullopt;
  if (of->is_cancelled) pith::throw_failure({PITH_E_CANCELLED, "cancelled between two tokens"});
  const int32_t token = of->sampler->draw(of->session->logits());
  const bool is_end = of->is_answer ? of->chat->is_end(token) : of->model->tokenizer.is_end(token);
  std::string text;
  if (!is_end) text = of->stream.push(of->model->tokenizer.decode(token));
  if (is_end || of->stream.stopped()) of->tokens_left = 0;
  else {
    of->session->eval(token);
    --of->tokens_left;
  }
  if (of->tokens_left == 0) text += of->stream.finish();
  return text;
}

// State: the bytes of the session's state as a number of 64 bits, little-endian; that state; the sampler's.
std::vector<uint8_t> save(OpenSession* of) {
  const std::vector<uint8_t> session = of->session->save(), sampler = of->sampler->save();
  std::vector<uint8_t> out;
  for (int i = 0; i < 8; ++i) out.push_back(uint8_t(uint64_t(session.size()) >> 8 * i));
  out.insert(out.end(), session.begin(), session.end());
  out.insert(out.end(), sampler.begin(), sampler.end());
  return out;
}

void restore(OpenSession* of, const std::string& state) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(state.data());
  uint64_t n = 0;
  for (int i = 0; i < 8 && state.size() >= 8; ++i) n |= uint64_t(bytes[i]) << 8 * i;
  if (state.size() < 8 || n > state.size() - 8)
    pith::throw_failure({PITH_E_SAVED_TRUNCATED, "state: " + std::to_string(state.size()) + " bytes are too few"});
  const std::vector<uint8_t> sampler_before = of->sampler->save();
  of->sampler->restore({bytes + 8 + n, state.size() - 8 - size_t(n)});
  const pith::Result<void> result = of->session->try_restore({bytes + 8, size_t(n)});
  if (result) return;
  of->sampler->restore(sampler_before);
  pith::throw_failure(result.error());
}

}  // namespace

#define PITH_NATIVE(result, name) extern "C" JNIEXPORT result JNICALL Java_pith_Native_##name

PITH_NATIVE(jbyteArray, statusName)(JNIEnv* env, jclass, jint status) {
  const char* name = pith_status_string(pith_status(status));
  return bytes_of(env, name, std::strlen(name));
}

PITH_NATIVE(jlong, openModel)(JNIEnv* env, jclass, jbyteArray path) {
  return open_model(env, [&] { return std::make_shared<OpenModel>(pith::Model::open(text_of(env, path))); });
}

// Mapped where the library can use it; archives of applications align what they hold to 4 bytes alone.
PITH_NATIVE(jlong, openModelAt)(JNIEnv* env, jclass, jint descriptor, jlong offset, jlong length) {
  return open_model(env, [&] {
    const size_t n = size_t(length);
    if (offset % PITH_ALIGNMENT == 0)
      return std::make_shared<OpenModel>(pith::Model::open(descriptor, uint64_t(offset), n));
    pith::Memory bytes = read_part(descriptor, uint64_t(offset), n);
    pith::Model model = pith::Model::view(bytes.data(), n);
    return std::make_shared<OpenModel>(std::move(model), std::move(bytes));
  });
}

PITH_NATIVE(void, closeModel)(JNIEnv*, jclass, jlong model) { delete reinterpret_cast<SharedModel*>(model); }

PITH_NATIVE(jlong, openSession)
(JNIEnv* env, jclass, jlong model, jint context, jint threads, jfloat temperature, jint top_k, jfloat top_p,
 jfloat min_p, jfloat repeat_penalty, jlong seed, jbyteArray system, jbyteArray template_name) {
  return guarded(env, jlong(0), [&] {
    auto out = std::make_unique<OpenSession>();
    out->model = *reinterpret_cast<SharedModel*>(model);
    out->system = text_of(env, system);
    const std::string name = text_of(env, template_name);
    pith_chat_options chat = pith::chat_options();
    if (!name.empty()) chat.template_name = name.c_str();
    pith::Result<pith::Chat> made = pith::Chat::create(out->model->model, out->model->tokenizer, chat);
    if (made) out->chat.emplace(std::move(*made));
    else if (!name.empty()) pith::throw_failure(made.error());
    pith_sampler_options sampling = pith::sampler_options();
    sampling.temperature = temperature;
    sampling.top_k = uint32_t(top_k);
    sampling.top_p = top_p;
    sampling.min_p = min_p;
    sampling.repeat_penalty = repeat_penalty;
    sampling.seed = uint64_t(seed);
    out->sampler.emplace(out->model->model.info().vocab_size, sampling);
    out->session.emplace(make_session(out.get(), uint32_t(context), uint32_t(threads)));
    return reinterpret_cast<jlong>(out.release());
  });
}

PITH_NATIVE(void, closeSession)(JNIEnv*, jclass, jlong session) { delete &session_at(session); }

PITH_NATIVE(void, begin)
(JNIEnv* env, jclass, jlong session, jbyteArray text, jboolean is_question, jint max_tokens, jobjectArray stops) {
  guarded(env, 0, [&] {
    OpenSession& of = session_at(session);
    of.tokens_left = 0;
    const std::vector<int32_t> tokens = encode(of, text_of(env, text), is_question != JNI_FALSE);
    std::vector<std::string> ends;
    if (is_question != JNI_FALSE) ends = of.chat->stops();
    for (jsize i = 0; i < env->GetArrayLength(stops); ++i)
      ends.push_back(text_of(env, static_cast<jbyteArray>(env->GetObjectArrayElement(stops, i))));
    of.stream = pith::TextStream(ends);
    of.is_answer = is_question != JNI_FALSE;
    eval_prompt(&of, tokens);
    for (const int32_t token : tokens) of.sampler->accept(token);
    of.tokens_left = uint32_t(max_tokens);
    return 0;
  });
}

PITH_NATIVE(jbyteArray, next)(JNIEnv* env, jclass, jlong session) {
  return guarded(env, jbyteArray(nullptr), [&]() -> jbyteArray {
    const std::optional<std::string> text = next_text(&session_at(session));
    return text ? bytes_of(env, text->data(), text->size()) : nullptr;
  });
}

PITH_NATIVE(void, cancel)(JNIEnv*, jclass, jlong session) {
  OpenSession& of = session_at(session);
  of.is_cancelled = true;
  of.session->cancel();
}

PITH_NATIVE(void, clearCancel)(JNIEnv*, jclass, jlong session) { session_at(session).is_cancelled = false; }

PITH_NATIVE(jlong, position)(JNIEnv*, jclass, jlong session) { return jlong(session_at(session).session->position()); }

PITH_NATIVE(void, reset)(JNIEnv* env, jclass, jlong session) {
  guarded(env, 0, [&] {
    session_at(session).session->reset();
    return 0;
  });
}

PITH_NATIVE(jbyteArray, save)(JNIEnv* env, jclass, jlong session) {
  return guarded(env, jbyteArray(nullptr), [&] {
    const std::vector<uint8_t> state = save(&session_at(session));
    return bytes_of(env, state.data(), state.size());
  });
}

PITH_NATIVE(void, restore)(JNIEnv* env, jclass, jlong session, jbyteArray state) {
  guarded(env, 0, [&] {
    restore(&session_at(session), text_of(env, state));
    return 0;
  });
}
