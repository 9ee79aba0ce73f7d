// The pith command. Exit status: 0; 1 with a sentence on standard error; 2 for wrong usage; 3 where a device is absent.
//
// This is the one unit that knows CLI11, whose header takes longer to compile than any of our own files: it says what every
// option is called and means, and hands plain structs to the commands.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>

#include <CLI/CLI.hpp>

#include "commands.h"
#include "descriptors.h"
#include "endings.h"
#include "output_file.h"
#include "standard_streams.h"

namespace pith::cli {
namespace {

// A word out of a few; the one that *value has is the default.
void add_choice(CLI::App* command, const char* name, std::string* value, const std::vector<std::string>& words,
                const char* meaning) {
  command->add_option(name, *value, meaning)->check(CLI::IsMember(words))->capture_default_str();
}

void add_model(CLI::App* command, ModelOption* o) {
  command->add_option("model", o->path, "Packed model (GGUF); the built-in one if left out");
}

void add_verified_model(CLI::App* command, ModelOption* o) {
  add_model(command, o);
  command->add_flag("--verify", o->verifies,
                    "Read the whole model first, and refuse it where its bytes are not those that were packed");
}

void add_session(CLI::App* command, SessionOptions* o) {
  command->add_option("--threads", o->threads, "Threads; the fast cores if left out")->check(CLI::Range(1, 64));
  command->add_option("--tier", o->tier, "Instruction set: scalar, avx2, ...; the best of this CPU if left out");
  command->add_option("--context", o->context, "Tokens that the cache holds; the model's context if left out")
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--keep", o->keep, "First tokens that stay when the cache is full");
  command
      ->add_option("--chunk", o->chunk, "Tokens of a prompt that are computed together; 512 if left out, 1: each alone")
      ->check(CLI::Range(1, 2048));
  add_choice(command, "--cache", &o->cache, {"i8", "f32"}, "Precision of the cache");
  add_choice(command, "--activations", &o->activations, {"i8", "f32"}, "Precision of the inputs of matrix products");
  add_choice(command, "--attention", &o->attention, {"grouped", "materialise"},
             "How attention reads the cache: grouped by token id (absorbed where there is no gate), or every key and "
             "value materialised");
  command
      ->add_option(
          "--pool", o->pool,
          "Bytes for the rows of gated models, with K, M or G; 0: none; rows for 3/8 of the context and 64 if left out")
      ->transform(CLI::AsSizeValue(false));
}

void add_speculation(CLI::App* command, bool* speculates) {
  command->add_flag_callback(
      "--no-speculation", [speculates] { *speculates = false; },
      "Evaluate no tokens that the text so far makes likely: the text is the same, and slower where it repeats itself");
}

void add_sampling(CLI::App* command, SamplingOptions* o) {
  command
      ->add_option_function<uint64_t>(
          "--seed",
          [o](uint64_t value) {
            o->seed = value;
            o->has_seed = true;
          },
          "Seed of the draws; a loaded state goes on with its own if left out")
      ->default_str(std::to_string(o->seed));
  command->add_option("--temp", o->temperature, "Temperature; 0 is greedy")->capture_default_str();
  command->add_option("--top-k", o->top_k, "Keep the k likeliest tokens; 0 is all")->capture_default_str();
  command->add_option("--top-p", o->top_p, "Keep the smallest set of tokens with this probability")
      ->capture_default_str();
  command->add_option("--min-p", o->min_p, "Drop tokens less likely than this share of the likeliest")
      ->capture_default_str();
  command->add_option("--repeat-penalty", o->repeat_penalty, "Penalty on recent tokens; 1 is off")
      ->capture_default_str();
  command->add_option("--repeat-window", o->repeat_window, "Recent tokens that the penalty sees; 0 is none")
      ->capture_default_str();
  command->add_option("--stop", o->stops, "Stop before this text; may be given several times")->allow_extra_args(false);
}

void add_constraint(CLI::App* command, ConstraintOptions* o) {
  CLI::Option* grammar = command->add_option(
      "--grammar", o->grammar, "File of a grammar in GBNF, llama.cpp's notation: what is drawn fits its rule \"root\"");
  command
      ->add_option("--json-schema", o->json_schema,
                   "File of a JSON Schema: what is drawn is a JSON document that fits it; {} for any")
      ->excludes(grammar);
}

std::string template_names() {
  std::string out;
  for (const std::string_view name : chat_template_names()) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

void add_chat_texts(CLI::App* command, ChatTextOptions* o) {
  command->add_option("--system", o->system,
                      "What the model is told before the conversation; the template's own if left out");
  command->add_option("--template", o->template_name,
                      "Chat template, if that of the file is missing or unknown: " + template_names());
  command->add_flag_callback(
      "--no-think", [o] { o->thinks = false; }, "Answer without thinking first, where the template has words for it");
}

void add_chat(CLI::App* app, int*) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = app->add_subcommand("chat", "Talk to a model; /help lists what can be typed there");
  add_verified_model(command, &options->model);
  add_chat_texts(command, &options->chat);
  command->add_option("-n,--tokens", options->n_tokens, "Tokens of an answer at most; 0: until it ends")
      ->capture_default_str();
  add_sampling(command, &options->sampling);
  add_speculation(command, &options->speculates);
  add_constraint(command, &options->constraint);
  add_session(command, &options->session);
  command->callback([options] { chat(*options); });
}

void add_run(CLI::App* app, int*) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app->add_subcommand("run", "Stream a text");
  add_verified_model(command, &options->model);
  add_session(command, &options->session);
  add_sampling(command, &options->sampling);
  add_speculation(command, &options->speculates);
  add_constraint(command, &options->constraint);
  CLI::Option* prompt = command->add_option("-p,--prompt", options->prompt, "Text to go on from");
  command->add_option("--file", options->file, "Read the prompt from a file; it is not echoed")->excludes(prompt);
  command->add_option("-n,--tokens", options->n_tokens, "Tokens to draw at most; 0: until the text ends")
      ->capture_default_str();
  CLI::Option* load =
      command->add_option("--load-state", options->load_state, "Go on from a state that --save-state wrote");
  command->add_option("--save-state", options->save_state, "Write the state of the text to a file at the end");
  command
      ->add_option(
          "--prompt-cache", options->prompt_cache,
          "Keep the prompt as it was read in this file, and read nothing again of a prompt that begins with it; "
          "the text is the same")
      ->excludes(load);
  command->add_flag("--chat", options->asks, "The prompt is a question: put it as the model's chat template does");
  add_chat_texts(command, &options->chat);
  command->add_option(
      "--logprobs", options->logprobs,
      "Instead of the text a line of JSON for every token that is drawn: its log-probability, and those "
      "of the so many likeliest tokens, 0 for none; with --json an array of them");
  command->add_flag("--json", options->json, "One JSON document instead of the text");
  command->callback([options, prompt] {
    options->has_prompt = prompt->count() > 0;
    run(*options);
  });
}

#ifdef PITH_SERVER
void add_access(CLI::App* command, server::ServerOptions* o) {
  command->add_option("--host", o->host, "Address to listen at; 0.0.0.0 is reached from other machines")
      ->capture_default_str();
  command->add_option("--port", o->port, "Port; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command
      ->add_option("--api-key", o->api_key,
                   "Ask clients for this key; better in the environment, where others can't read it")
      ->envname("PITH_API_KEY");
  command->add_option("--cors", o->cors, "Let pages of this origin ask, such as http://localhost:3000, or * for all");
}

void add_limits(CLI::App* command, server::ServerOptions* o) {
  command
      ->add_option("--sessions", o->n_sessions,
                   "Answers that are written at the same time, each with memory of its own")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--queue", o->n_queue, "Requests that may wait for a session")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--max-body", o->max_body, "Bytes of a request at most, with K or M")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(uint64_t(1024), std::min(uint64_t(1) << 32, uint64_t(SIZE_MAX / 4))))
      ->default_str("1M");
  command
      ->add_option("--timeout", o->timeout, "Seconds for a request to come, and for each part of an answer to be taken")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
}

void add_serve(CLI::App* app, int*) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app->add_subcommand("serve", "Answer programs by OpenAI's HTTP interface, and people by a page");
  add_verified_model(command, &options->model);
  add_access(command, &options->server);
  add_limits(command, &options->server);
  command->add_option("--name", options->name, "Name of the model for clients; that of its file if left out");
  command->add_option("--template", options->template_name,
                      "Chat template, if that of the file is missing or unknown: " + template_names());
  command->add_flag_callback(
      "--no-think", [options = options.get()] { options->thinks = false; },
      "Answer without thinking first, where the template has words for it and a request does not say");
  add_choice(command, "--pooling", &options->pooling, {"mean", "last"}, "Embeddings: of a text's hidden states");
  command->add_flag("-q,--quiet", options->server.is_quiet, "No line for every request");
  add_sampling(command, &options->sampling);
  add_speculation(command, &options->server.speculates);
  add_session(command, &options->session);
  for (const char* name : {"--keep", "--stop"}) command->remove_option(command->get_option(name));
  command->get_option("--chunk")->description(
      "Tokens of a prompt that are computed together, between which others have their turn; 128 if left out");
  command->get_option("--seed")
      ->description("Seed of requests that have none; another one for each if left out")
      ->default_str("");
  command->callback([options] { serve(*options); });
}
#else
void add_serve(CLI::App* app, int*) {
  CLI::App* command = app->add_subcommand("serve", "")->group("")->allow_extras();
  command->set_help_flag();
  command->callback([] { throw std::runtime_error("serve: left out of this build; it needs cpp-httplib 0.11"); });
}
#endif

void add_quantize(CLI::App* app, int*) {
  auto options = std::make_shared<QuantizeOptions>();
  CLI::App* command = app->add_subcommand("quantize", "Make a downloaded model one that runs");
  command
      ->add_option("in", options->input,
                   "GGUF file (of several, the first), or a Hugging Face folder with config.json and safetensors")
      ->required();
  command->add_option("out", options->output, "Packed model to write")->required();
  command
      ->add_option("--type", options->type,
                   "Round the matrices to this type: q4m has a minimum per block; both keep the embedding and the "
                   "output in q8. Without it quantised matrices stay as they are, and others become q4")
      ->check(CLI::IsMember({"q4", "q4m", "q8", "f32"}));
  command->callback([options] { quantize(*options); });
}

void add_synth(CLI::App* app, int*) {
  auto options = std::make_shared<SynthOptions>();
  CLI::App* command = app->add_subcommand("synth", "Write a packed model of random weights");
  command->add_option("shape", options->shape, synth_shapes() + ", or a JSON file of metadata keys")->required();
  command->add_option("out", options->output, "Packed model to write")->required();
  add_choice(command, "--type", &options->type, {"q4", "q4m", "q8", "f32"}, "Type of the matrices");
  command->add_option("--seed", options->seed, "Seed of the weights")->capture_default_str();
  command->callback([options] { synth(*options); });
}

void add_info(CLI::App* app, int*) {
  auto options = std::make_shared<InfoOptions>();
  CLI::App* command = app->add_subcommand("info", "Metadata, licence, tensors and memory of a model");
  command->add_option("model", options->model.path,
                      "Packed model (GGUF), or a shape of pith synth in q4; the built-in one if left out");
  add_session(command, &options->session);
  command->add_flag("--tensors", options->tensors, "List the tensors too");
  command->add_flag("--json", options->json, "One JSON document, tensors included");
  command->callback([options] { info(*options); });
}

void add_bench(CLI::App* app, int*) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app->add_subcommand("bench", "Measure prefill and decode");
  add_model(command, &options->model);
  add_session(command, &options->session);
  command->remove_option(command->get_option("--threads"));
  command->add_option("--threads", options->threads, "Thread counts, such as 1,2; the fast cores if left out")
      ->delimiter(',');
  command->add_option("--depth", options->depths, "Tokens in the cache before decoding, such as 0,256,1024")
      ->delimiter(',');
  command->add_option("-n,--tokens", options->tokens, "Tokens to decode")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("--prompt", options->prompt, "Tokens of a prompt to be read at every depth, before decoding")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("--repeat", options->repeat, "Repetitions")->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_option("--text", options->text,
                      "Fill the context with this text; else with made-up ids that repeat as a text's do");
  command->add_option("--seed", options->seed, "Seed of the made-up ids")->capture_default_str();
  command
      ->add_option(
          "--fill", options->fill,
          "How a context gets its tokens: all by a prompt, or the first 512 and their cached rows again and again")
      ->check(CLI::IsMember({"prompt", "repeat"}))
      ->capture_default_str();
  command->add_flag("--skip-bandwidth", options->skip_bandwidth,
                    "Do not measure the machine's own read bandwidth, which takes 256 MB of memory and more");
  command->add_flag("--json", options->json, "One JSON document with every repetition");
  command->callback([options] { bench(*options); });
}

void add_eval(CLI::App* app, int*) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command =
      app->add_subcommand("eval", "Perplexity of a text or of token ids, accuracy of multiple-choice tasks");
  add_verified_model(command, &options->model);
  add_session(command, &options->session);
  CLI::Option* text = command->add_option("--text", options->text, "Text file; a line <|endoftext|> ends a document");
  CLI::Option* ids =
      command->add_option("--ids", options->ids, "File of token ids, with commas or white space")->excludes(text);
  command->add_option("--logits", options->logits, "Write the logits after every id: float32 [ids, vocabulary], .npy")
      ->needs(ids);
  command->add_flag("--slide", options->slide, "Let the oldest ids go when they are more than the context")->needs(ids);
  CLI::Option* choices =
      command
          ->add_option("--choices", options->choices,
                       "File of multiple-choice tasks, a line of JSON each: {\"context\": TEXT, "
                       "\"choices\": [TEXT, ...], \"answer\": INDEX}, or HellaSwag's ctx, endings, label")
          ->excludes(text)
          ->excludes(ids);
  command->add_option("--scores", options->scores, "Write the log-probability of every choice: a line of JSON a task")
      ->needs(choices);
  command->add_option("--base", options->base, "Another model to measure the KL divergence and top-1 agreement against")
      ->excludes(choices);
  command->add_option("--limit", options->limit, "Tokens to score at most, ids to evaluate, tasks to take; 0: all");
  command->add_flag("--json", options->json, "One JSON document");
  command->callback([options] {
    if (options->text.empty() && options->ids.empty() && options->choices.empty())
      throw CLI::RequiredError("--text, --ids or --choices");
    eval(*options);
  });
}

void add_embed(CLI::App* app, int*) {
  auto options = std::make_shared<EmbedOptions>();
  CLI::App* command = app->add_subcommand("embed", "Every line of a text as a vector: its hidden state");
  add_verified_model(command, &options->model);
  add_session(command, &options->session);
  command->add_option("--file", options->file, "Texts, a line each; standard input if left out");
  add_choice(command, "--pooling", &options->pooling, {"mean", "last"},
             "Of the tokens' hidden states: their mean, or the last");
  command->add_flag("--normalise,--normalize", options->normalises, "Vectors of the length 1");
  command->add_option("--npy", options->npy,
                      "Write float32 [lines, width] for numpy.load, instead of a line of JSON for each");
  command->callback([options] { embed(*options); });
}

void add_verify(CLI::App* app, int* status) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = app->add_subcommand("verify", "Compare every tensor with its stored hash");
  add_model(command, &options->model);
  command->add_flag("--json", options->json, "One JSON document");
  command->callback([options, status] { *status = verify(*options); });
}

void add_gates(CLI::App* command, ParityOptions* o) {
  command->add_option("--max-relative", o->max_relative,
                      "Fail if any tensor of any token is off by more, ||a-b|| / ||b||");
  command->add_option("--max-logits-relative", o->max_logits_relative, "Fail if the logits together are off by more");
  command->add_option("--max-kl", o->max_kl, "Fail if the mean KL divergence is larger, in nats");
  command->add_option("--min-top1", o->min_top1, "Fail if the likeliest token agrees less often, 0 .. 1");
  command->add_option("--max-perplexity-rise", o->max_perplexity_rise, "Fail if perplexity rises by more, as a share");
  command->add_flag("--explained", o->explained, "Fail if a step is farther off than quantisation explains");
  command->add_option("--float-bound", o->float_bound, "What float32 arithmetic explains")->capture_default_str();
  command->add_option("--margin", o->margin, "Times the measured error of quantisation that is still explained")
      ->capture_default_str();
}

void add_parity(CLI::App* app, int* status) {
  auto o = std::make_shared<ParityOptions>();
  CLI::App* command = app->add_subcommand("parity", "Compare every step with a reference");
  command->add_option("model", o->model, "Packed or float model (GGUF); the built-in one if left out");
  CLI::Option* trace =
      command->add_option("--trace", o->trace, "Trace to compare with (safetensors); tools/train/trace.py writes one");
  add_choice(command, "--reference", &o->reference, {"host", "cuda"}, "Without --trace: where the reference runs");
  command->add_option("--base", o->base, "Without --trace: the model that the reference runs; MODEL if left out");
  command->add_option("--text", o->text, "Without --trace: tokens of this text")->excludes(trace);
  command->add_option("--ids", o->ids, "Without --trace: these token ids, with commas")
      ->delimiter(',')
      ->excludes(trace);
  command->add_option("--tokens-of", o->tokens_of, "Without --trace: the tokens of this trace")->excludes(trace);
  command->add_option("-n", o->limit, "Tokens of the text at most")->capture_default_str();
  add_choice(command, "--weights", &o->weights, {"f32", "q8", "q4m", "q4"}, "How a float MODEL is packed");
  add_choice(command, "--cache", &o->cache, {"i8", "f32"}, "Precision");
  add_choice(command, "--activations", &o->activations, {"i8", "f32"}, "Precision");
  add_choice(command, "--attention", &o->attention, {"grouped", "materialise"},
             "Token by token, grouped has no keys, values and scores to compare");
  command
      ->add_option("--chunk", o->chunk, "Tokens that go through the layers together, as a prompt's do; 1: one by one")
      ->check(CLI::Range(1, 2048))
      ->capture_default_str();
  command->add_option("--tier", o->tier, "Instruction set; the best of this CPU if left out");
  command->add_flag("--each", o->each,
                    "Also round one part at a time: weights (of a float MODEL), activations, cache, attention");
  command->add_flag("--json", o->json, "One JSON document");
  command->add_option("--html", o->html, "Write the report as a page with plots");
  command->add_option("--save-trace", o->save_trace, "Write the runtime's trace");
  command->add_option("--save-reference", o->save_reference, "Write the trace of the reference that ran here");
  command->add_option("--save-layers", o->save_layers, "Of a written trace: these layers alone, with commas")
      ->delimiter(',');
  command->add_option_function<std::vector<std::string>>(
      "--note",
      [o = o.get()](const std::vector<std::string>& notes) {
        for (const std::string& note : notes)
          o->notes[note.substr(0, note.find('='))] = note.substr(note.find('=') + 1);
      },
      "KEY=VALUE in the metadata of a written trace");
  add_gates(command, o.get());
  command->callback([o, status] { *status = parity(*o); });
}

// What CLI11 says of help, versions and wrong usage.
int explain(const CLI::App& app, const CLI::ParseError& error) {
  std::ostringstream out, err;
  const int status = app.exit(error, out, err) == 0 ? 0 : 2;
  write_output(out.str());
  tell("{}", err.str());
  return status;
}

// CLI11 takes what does not fit into 64 bits, or has a sign, for the nearest number that does.
std::string why_not_natural(const std::string& text) {
  const bool is_hex = text.starts_with("0x") || text.starts_with("0X");
  uint64_t value = 0;
  const char *first = text.c_str() + (is_hex ? 2 : 0), *end = text.c_str() + text.size();
  const auto [at, error] = std::from_chars(first, end, value, is_hex ? 16 : 10);
  if (error == std::errc::result_out_of_range) return text + " is not below 2^64";
  return error == std::errc() && at == end ? std::string() : text + " is not a whole number of at least 0";
}

void check_numbers(CLI::App* app) {
  for (CLI::App* command : app->get_subcommands({})) {
    for (CLI::Option* option : command->get_options()) {
      if (option->get_type_name().starts_with("UINT")) option->check(CLI::Validator(why_not_natural, ""));
    }
  }
}

int run_command(int argc, char** argv) {
  CLI::App app("pith: run language models that cache a small latent vector per token");
  app.set_version_flag("--version", pith_version());
  app.require_subcommand(1);
  app.allow_windows_style_options(false);  // "/models/x.gguf" is a path
  int status = 0;
  for (const auto add : {add_run, add_chat, add_serve, add_quantize, add_synth, add_info, add_bench, add_eval,
                         add_embed, add_parity, add_verify})
    add(&app, &status);
  check_numbers(&app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    status = explain(app, error);
  }
  flush_output();
  return status;
}

// What cannot be allocated ends the command here, not as an exception: destructors of libraries allocate, and g++ 12 does not
// clean up well after half a list in braces.
void end_without_memory() {
  std::set_new_handler(nullptr);
  tell_text("pith: out of memory; a shorter --context or a smaller model takes less\n");
  remove_unfinished_files();
  try {
    flush_output();
  } catch (...) {  // nothing more can be done for what was to be written
  }
  std::_Exit(1);
}

// Before globals are made, which allocate.
__attribute__((constructor(101))) void watch_memory() { std::set_new_handler(end_without_memory); }

}  // namespace
}  // namespace pith::cli

int main(int argc, char** argv) {
  using namespace pith::cli;
  pith::internal::open_standard_streams();
  pith::internal::ignore_reported_signals();
  std::atexit(remove_unfinished_files);  // the OpenMP runtime ends the process where it finds no memory
  try {
    return run_command(argc, argv);
  } catch (const std::exception& error) {
    tell("pith: {}\n", escaped(error.what()));
  }
  return 1;
}
