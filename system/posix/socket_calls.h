// What sockets.cpp asks of a system, in the words of POSIX.
#ifndef PITH_SYSTEM_POSIX_SOCKET_CALLS_H
#define PITH_SYSTEM_POSIX_SOCKET_CALLS_H

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "sockets.h"

namespace pith::internal::socket_calls {

using Native = int;
using Bytes = size_t;

constexpr int kShutSending = SHUT_WR, kShutBoth = SHUT_RDWR;
constexpr int kLongestWait = 60'000;  // ms; shut_down ends every wait
// What poll says of a connection whose other end has closed. Linux tells it to who asks; others call half of it a hang-up.
#ifdef POLLRDHUP
constexpr short kAskForEnd = POLLRDHUP, kEnd = POLLRDHUP | POLLHUP | POLLERR;
#else
constexpr short kAskForEnd = POLLIN, kEnd = POLLHUP | POLLERR;
#endif

inline bool begin() { return true; }
inline Native native(Socket socket) { return int(socket); }
inline int last_error() { return errno; }
inline bool is_interruption(int error) { return error == EINTR; }
inline bool is_not_now(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }
inline bool is_shortage(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS; }
inline int poll_all(pollfd* all, unsigned n, int milliseconds) { return ::poll(all, n, milliseconds); }
inline int close_native(Native socket) { return ::close(socket); }
inline void set(Native socket, int level, int option, int value) {
  (void)::setsockopt(socket, level, option, &value, sizeof value);
}
// Calls return at once, and programs that this one starts don't get it.
inline void prepare(Native socket) {
  (void)::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
  (void)::fcntl(socket, F_SETFD, FD_CLOEXEC);
}
// The port of a server that has just ended may be had again.
inline void prepare_to_listen(Native socket) { set(socket, SOL_SOCKET, SO_REUSEADDR, 1); }
inline std::string error_text(int error) { return std::system_category().message(error); }
inline std::string host_error(int status) { return gai_strerror(status); }

// A pipe.
inline void make_doorbell(Socket ends[2]) {
  int pipe[2];
  if (::pipe(pipe) != 0) return;
  for (int i = 0; i < 2; ++i) {
    prepare(pipe[i]);
    ends[i] = pipe[i];
  }
}
inline void ring(Socket end) { (void)!::write(native(end), "", 1); }

}  // namespace pith::internal::socket_calls

#endif
