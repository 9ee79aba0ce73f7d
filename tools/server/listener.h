// Takes connections, each to a thread of a bounded pool. More than there are threads are answered at once that the
// server is busy.
#ifndef PITH_SERVER_LISTENER_H
#define PITH_SERVER_LISTENER_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include <httplib.h>

#include "sockets.h"

namespace pith::server {

class Listener {
 public:
  // `serve` answers the request of a socket, which is closed afterwards. Port 0: any. Throws std::runtime_error.
  Listener(const std::string& host, uint16_t port, uint32_t n_threads, std::function<void(internal::Socket)> serve);
  ~Listener();  // takes no more connections, and waits for those that there are
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  uint16_t port() const { return port_; }
  internal::Socket socket() const { return socket_; }

  void start();
  void stop();                                                // takes no more connections
  bool wait_for_connections(std::chrono::milliseconds most);  // until there are none any more; false: there are
  void drop_connections();

 private:
  void accept_all();
  void take(internal::Socket socket);

  internal::Doorbell bell_;
  internal::Socket socket_ = internal::kNoSocket;
  uint16_t port_ = 0;
  const uint32_t n_threads_;
  const std::function<void(internal::Socket)> serve_;
  httplib::ThreadPool threads_;
  std::thread accepting_;
  std::mutex mutex_;
  std::condition_variable closed_;
  std::set<internal::Socket> open_;
};

}  // namespace pith::server

#endif
