// Who is evaluated next: one job at a time, with all threads. Of those that have a session, the one that has had the
// least time of evaluation goes first, so that a short answer is not kept by a long one, nor a token by a long prompt;
// the others wait for a session, first come first served.
#ifndef PITH_SERVER_SCHEDULER_H
#define PITH_SERVER_SCHEDULER_H

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "job.h"
#include "session_pool.h"

namespace pith::server {

class Scheduler {
 public:
  // The pool is this one's from now on. n_queue: jobs that may wait for a session.
  Scheduler(SessionPool* pool, uint32_t n_sessions, uint32_t n_queue);
  ~Scheduler();  // ends all jobs
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // False: as many wait as may.
  bool submit(std::shared_ptr<Job> job);
  void cancel(const std::shared_ptr<Job>& job);
  void cancel_all();
  void wake();  // a job that was held up may go on

  struct Counts {
    size_t n_running, n_waiting;
  };
  Counts counts();

 private:
  struct Running {
    std::shared_ptr<Job> job;
    Seat* seat;
    double seconds;  // of evaluation; one that comes begins with the least that any has
  };
  void run();
  void seat_waiting();
  size_t next();  // of running_, or its size
  bool step(Running* running, std::string* error);

  SessionPool* pool_;
  const size_t n_sessions_, n_queue_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> waiting_;
  std::vector<Running> running_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace pith::server

#endif
