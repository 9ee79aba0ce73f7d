#include "scheduler.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

namespace pith::server {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Scheduler::Scheduler(SessionPool* pool, uint32_t n_sessions, uint32_t n_queue)
    : pool_(pool), n_sessions_(n_sessions), n_queue_(n_queue), thread_([this] { run(); }) {}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  cancel_all();
  thread_.join();
}

bool Scheduler::submit(std::shared_ptr<Job> job) {
  const std::lock_guard lock(mutex_);
  const size_t n_free = n_sessions_ - running_.size();
  if (ends_ || waiting_.size() >= n_queue_ + n_free) return false;
  waiting_.push_back(std::move(job));
  changed_.notify_all();
  return true;
}

void Scheduler::cancel(const std::shared_ptr<Job>& job) {
  const std::lock_guard lock(mutex_);
  job->cancel();
  changed_.notify_all();
}

void Scheduler::cancel_all() {
  const std::lock_guard lock(mutex_);
  for (const std::shared_ptr<Job>& job : waiting_) job->cancel();
  for (const Running& running : running_) running.job->cancel();
  changed_.notify_all();
}

void Scheduler::wake() {
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

Scheduler::Counts Scheduler::counts() {
  const std::lock_guard lock(mutex_);
  return {running_.size(), waiting_.size()};
}

void Scheduler::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    seat_waiting();
    const size_t at = next();
    if (at == running_.size()) {
      if (ends_ && running_.empty() && waiting_.empty()) return;
      changed_.wait(lock);
      continue;
    }
    Running running = running_[at];
    lock.unlock();
    std::string error;
    const bool goes_on = step(&running, &error);
    lock.lock();
    running_[at].seconds = running.seconds;  // only this thread adds and removes
    if (goes_on) continue;
    pool_->release(running.seat);
    running_.erase(running_.begin() + ptrdiff_t(at));
    running.job->finish(error);  // when the seat is free for what its client asks next
  }
}

// With the mutex held, as next() is.
void Scheduler::seat_waiting() {
  const auto ended =
      std::stable_partition(waiting_.begin(), waiting_.end(), [](const auto& job) { return !job->is_cancelled(); });
  std::for_each(ended, waiting_.end(), [](const auto& job) { job->finish(); });
  waiting_.erase(ended, waiting_.end());
  while (!waiting_.empty()) {
    size_t n_kept = 0;
    Seat* seat = pool_->take(waiting_.front()->prompt(), &waiting_.front()->is_cancelled(), &n_kept);
    if (seat == nullptr) return;
    waiting_.front()->begin(n_kept);
    double least = 0;
    for (size_t i = 0; i < running_.size(); ++i)
      least = i == 0 ? running_[i].seconds : std::min(least, running_[i].seconds);
    running_.push_back({std::move(waiting_.front()), seat, least});
    waiting_.pop_front();
  }
}

size_t Scheduler::next() {
  size_t best = running_.size();
  for (size_t i = 0; i < running_.size(); ++i) {
    if (running_[i].job->is_held_up() && !running_[i].job->is_cancelled()) continue;
    if (best == running_.size() || running_[i].seconds < running_[best].seconds) best = i;
  }
  return best;
}

bool Scheduler::step(Running* running, std::string* error) {
  const double start = now();
  bool goes_on = false;
  try {
    goes_on = !running->job->is_cancelled() && running->job->step(running->seat) && !running->job->is_cancelled();
  } catch (const std::exception& caught) {
    *error = caught.what();
    running->seat->reset();
  }
  running->seconds += now() - start;
  return goes_on;
}

}  // namespace pith::server
