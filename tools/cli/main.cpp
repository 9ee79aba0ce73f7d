// The pith command. Exit status: 0; 1 with a sentence on standard error; 2 for wrong usage; 3 where a device is absent.
#include <csignal>
#include <cstdio>
#include <exception>

#include "options.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is seen where text is written
  CLI::App app("pith: run language models that cache a small latent vector per token");
  app.set_version_flag("--version", pith_version());
  app.require_subcommand(1);
  int status = 0;
  using namespace pith::cli;
  for (const auto add : {add_run, add_quantize, add_synth, add_info, add_bench, add_eval, add_parity, add_verify})
    add(&app, &status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pith: %s\n", error.what());
    return 1;
  }
  if (std::fflush(stdout) != 0 && status == 0) status = 0;  // the reader has gone: it has what it wanted
  return status;
}
