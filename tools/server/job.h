// Work for a session, cut into slices: what the scheduler runs. A connection waits for what comes of it.
#ifndef PITH_SERVER_JOB_H
#define PITH_SERVER_JOB_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>

#include "session_pool.h"

namespace pith::server {

class Job {
 public:
  virtual ~Job() = default;

  // Of the scheduler's thread.
  // Tokens of which a session may hold the first ones already; none: any session will do.
  virtual std::span<const int32_t> prompt() const = 0;
  virtual void begin(size_t n_kept) = 0;       // of the prompt
  virtual bool step(Seat* seat) = 0;           // a chunk of a prompt, or a token; false: it is over
  virtual bool is_held_up() { return false; }  // by a client that reads too slowly
  void finish(const std::string& error = "");  // what went wrong here, if anything did

  // Of any thread.
  void cancel() { is_cancelled_ = true; }
  const std::atomic<bool>& is_cancelled() const { return is_cancelled_; }

  // Of the connection's thread. What is new, or false after the time that is given; then look whether the client is
  // there.
  bool wait(std::chrono::milliseconds most);
  bool is_over();
  std::string error();  // of one that is over

 protected:
  virtual bool has_news() { return false; }  // with the mutex held
  void tell() { news_.notify_all(); }
  std::mutex mutex_;  // of what both threads see

 private:
  std::condition_variable news_;
  std::atomic<bool> is_cancelled_ = false;
  bool is_over_ = false;
  std::string error_;
};

}  // namespace pith::server

#endif
