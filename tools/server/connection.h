// One connection, of one request: a socket for cpp-httplib with limits of bytes and time, for its own readers of lines
// and headers have none.
#ifndef PITH_SERVER_CONNECTION_H
#define PITH_SERVER_CONNECTION_H

#include <chrono>
#include <cstddef>
#include <string>

#include <httplib.h>

#include "sockets.h"

namespace pith::server {

class Connection : public httplib::Stream {
 public:
  // `timeout`: for the whole request to come, and for every part of the answer to be taken.
  Connection(internal::Socket socket, std::chrono::seconds timeout);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // That which this thread serves: cpp-httplib's handlers are not told.
  static Connection& current();

  // Bytes that may still be read.
  void allow(size_t n_bytes) { n_allowed_ = n_bytes; }
  bool is_used_up() const { return is_used_up_; }  // more bytes came than were allowed
  bool is_timed_out() const { return is_timed_out_; }
  // Whether the client is still there. One that has closed its sending half counts as gone: clients of HTTP don't.
  bool is_alive() const;
  // Ends the answer, and takes what the client still sends, for a moment: closing a socket with unread bytes would
  // destroy the answer on its way.
  void end();

  std::string note;        // for the log
  double seconds() const;  // since it was made

  bool is_readable() const override { return true; }
  bool is_writable() const override { return is_alive(); }
  ssize_t read(char* data, size_t n_bytes) override;
  ssize_t write(const char* data, size_t n_bytes) override;
  void get_remote_ip_and_port(std::string& address, int& port) const override;
  void get_local_ip_and_port(std::string& address, int& port) const override;
  socket_t socket() const override { return socket_t(socket_); }

 private:
  using Time = std::chrono::steady_clock::time_point;
  bool wait(internal::Ready what, Time deadline);  // false: it is too late, or of no use

  const internal::Socket socket_;
  const std::chrono::seconds timeout_;
  const Time start_;
  size_t n_allowed_;
  bool is_used_up_ = false, is_timed_out_ = false;
  char buffer_[4096];
  size_t first_ = 0, end_ = 0;  // of what is in it
};

}  // namespace pith::server

#endif
