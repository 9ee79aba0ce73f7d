// The commands: what each is told (main.cpp says what the options are called and mean), and its body. A body returns the exit
// status, or nothing for 0, or throws pith::Error or std::runtime_error for 1.
#ifndef PITH_CLI_COMMANDS_H
#define PITH_CLI_COMMANDS_H

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "chat_options.h"
#include "constraint.h"
#include "options.h"
#include "server_options.h"

namespace pith::cli {

struct RunOptions {
  ModelOption model;
  SessionOptions session;
  SamplingOptions sampling;
  ChatTextOptions chat;
  ConstraintOptions constraint;
  std::string prompt, file, load_state, save_state, prompt_cache;
  bool has_prompt = false;
  bool asks = false;  // the prompt is a question, in the model's chat template
  bool speculates = true;
  uint32_t n_tokens = 400;
  std::optional<uint32_t> logprobs;  // how many of the likeliest tokens are told with every one that is drawn
  bool json = false;
};
void run(RunOptions options);

struct ChatOptions {
  ModelOption model;
  SessionOptions session;
  SamplingOptions sampling;
  ChatTextOptions chat;
  ConstraintOptions constraint;  // of every answer
  uint32_t n_tokens = 4096;      // of an answer
  bool speculates = true;
};
void chat(const ChatOptions& options);

struct ServeOptions {
  ModelOption model;
  SessionOptions session;
  SamplingOptions sampling;  // of requests that do not say
  std::string template_name, name, pooling = "mean";
  bool thinks = true;
  server::ServerOptions server;
};
void serve(ServeOptions options);

struct QuantizeOptions {
  std::string input, output, type;  // "": as the file has them
};
void quantize(const QuantizeOptions& options);

struct SynthOptions {
  std::string shape, output, type = "q4";
  uint64_t seed = 1;
};
void synth(const SynthOptions& options);
std::string synth_shapes();  // the named ones, with commas

struct InfoOptions {
  ModelOption model;
  SessionOptions session;
  bool json = false, tensors = false;
};
void info(const InfoOptions& options);

struct BenchOptions {
  ModelOption model;
  SessionOptions session;
  std::vector<uint32_t> depths = {0, 256}, threads;
  uint32_t tokens = 32, prompt = 0, repeat = 3;
  uint64_t seed = 1;
  std::string text, fill = "prompt";
  bool json = false, skip_bandwidth = false;
};
void bench(BenchOptions options);

struct EvalOptions {
  ModelOption model;
  SessionOptions session;
  std::string text, ids, logits, base;  // text, ids or choices
  std::string choices, scores;
  size_t limit = 0;
  bool slide = false, json = false;
};
void eval(const EvalOptions& options);
void eval_choices(const EvalOptions& options);  // of those with choices

struct EmbedOptions {
  ModelOption model;
  SessionOptions session;
  std::string file, npy, pooling = "mean";  // file "": standard input
  bool normalises = false;
};
void embed(const EmbedOptions& options);

struct VerifyOptions {
  ModelOption model;
  bool json = false;
};
int verify(const VerifyOptions& options);

struct ParityOptions {
  std::string model, trace, reference = "host", base, text, tokens_of, html, save_trace, save_reference;
  std::vector<int32_t> ids, save_layers;
  std::map<std::string, std::string> notes;
  size_t limit = 32;
  uint32_t chunk = 1;
  std::string weights = "f32", cache = "i8", activations = "i8", attention = "materialise", tier;
  bool each = false, json = false;
  double float_bound = 2e-5, margin = 3;
  // Gates.
  std::optional<double> max_relative, max_logits_relative, max_kl, min_top1, max_perplexity_rise;
  bool explained = false;
};
int parity(const ParityOptions& options);

}  // namespace pith::cli

#endif
