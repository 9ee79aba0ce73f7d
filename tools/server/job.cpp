#include "job.h"

namespace pith::server {

void Job::finish(const std::string& error) {
  const std::lock_guard lock(mutex_);
  is_over_ = true;
  error_ = error;
  tell();
}

bool Job::wait(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  return news_.wait_for(lock, most, [this] { return is_over_ || has_news(); });
}

bool Job::is_over() {
  const std::lock_guard lock(mutex_);
  return is_over_;
}

std::string Job::error() {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace pith::server
