// How a server is reached, and what it takes on. The command says what the options are called.
#ifndef PITH_SERVER_SERVER_OPTIONS_H
#define PITH_SERVER_SERVER_OPTIONS_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace pith::server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;           // 0: any
  std::string api_key;            // "": none is asked for
  std::string cors;               // origin of pages that may ask; "": the server's own
  size_t max_body = 1024 * 1024;  // bytes
  uint32_t n_sessions = 4;
  uint32_t n_queue = 32;  // requests that may wait for a session
  uint32_t timeout = 30;  // seconds for a request to come, and for a part of an answer to be taken
  bool is_quiet = false;  // no line for every request
  bool speculates = true;
};

}  // namespace pith::server

#endif
